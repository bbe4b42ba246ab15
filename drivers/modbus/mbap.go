//lint:pure

package modbus

import (
	"encoding/binary"
	"fmt"
)

// mbapSize is the header before each PDU on TCP: transaction, protocol, length, unit (Messaging on TCP/IP V1.0b §3.1.3).
const mbapSize = 7

// appendTCP frames a PDU for a connection.
func appendTCP(b []byte, transaction uint16, unit byte, pdu []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, transaction)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	return append(append(b, unit), pdu...)
}

// parseMBAP reads the header of an answer and says how many bytes of PDU follow. It fails with [ErrProtocol] on anything that
// is not the answer to this very transaction: whoever goes on then takes one answer for another from there on.
func parseMBAP(header [mbapSize]byte, transaction uint16, unit byte) (int, error) {
	got, length := binary.BigEndian.Uint16(header[:]), int(binary.BigEndian.Uint16(header[4:]))
	switch {
	case header[2] != 0 || header[3] != 0:
		return 0, fmt.Errorf("%w: protocol %x, want 0: is this Modbus TCP?", ErrProtocol, header[2:4])
	case length < 1+2 || length > 1+MaxPDU:
		return 0, fmt.Errorf("%w: a length of %d, want 3 to %d", ErrProtocol, length, 1+MaxPDU)
	case got != transaction:
		return 0, fmt.Errorf("%w: transaction %d answers %d", ErrProtocol, got, transaction)
	case header[6] != unit:
		return 0, fmt.Errorf("%w: unit %d answers, %d was asked", ErrProtocol, header[6], unit)
	}
	return length - 1, nil
}
