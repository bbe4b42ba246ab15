//lint:pure

package osdp

import "fmt"

// Command is what a control panel asks of a reader (SIA OSDP v2.2 §6, Annex A.1).
type Command byte

// The commands.
const (
	CommandPoll      Command = 0x60
	CommandID        Command = 0x61
	CommandCap       Command = 0x62
	CommandLocal     Command = 0x64 // LSTAT: how the reader's tamper switch and supply are
	CommandLED       Command = 0x69
	CommandBuzzer    Command = 0x6a
	CommandKeySet    Command = 0x75
	CommandChallenge Command = 0x76
	CommandCrypt     Command = 0x77
)

// Reply is what a reader answers (§7, Annex A.2).
type Reply byte

// The replies.
const (
	ReplyACK    Reply = 0x40
	ReplyNAK    Reply = 0x41
	ReplyID     Reply = 0x45 // PDID
	ReplyCap    Reply = 0x46 // PDCAP
	ReplyLocal  Reply = 0x48 // LSTATR
	ReplyRaw    Reply = 0x50
	ReplyFormat Reply = 0x51 // FMT
	ReplyKeypad Reply = 0x53
	ReplyCrypt  Reply = 0x76 // CCRYPT
	ReplyRMAC   Reply = 0x78 // RMAC_I
	ReplyBusy   Reply = 0x79
)

// String is the reply as the specification names it.
func (r Reply) String() string {
	switch r {
	case ReplyACK:
		return "ACK"
	case ReplyNAK:
		return "NAK"
	case ReplyID:
		return "PDID"
	case ReplyCap:
		return "PDCAP"
	case ReplyLocal:
		return "LSTATR"
	case ReplyRaw:
		return "RAW"
	case ReplyFormat:
		return "FMT"
	case ReplyKeypad:
		return "KEYPAD"
	case ReplyCrypt:
		return "CCRYPT"
	case ReplyRMAC:
		return "RMAC_I"
	case ReplyBusy:
		return "BUSY"
	}
	return fmt.Sprintf("reply %02x", byte(r))
}

// NAK is why a reader does not do what it was asked (§7.3, table 47). As an error it is what the reader has said.
type NAK byte

// The reasons.
const (
	NAKCheck    NAK = 1 // checksum or CRC
	NAKLength   NAK = 2
	NAKUnknown  NAK = 3
	NAKSequence NAK = 4
	NAKSecurity NAK = 5 // it does not do this security block
	NAKPlain    NAK = 6 // it wants a secure channel first
	NAKBioType  NAK = 7
	NAKBioForm  NAK = 8
	NAKRecord   NAK = 9
)

// Error is the reason in words.
func (n NAK) Error() string {
	switch n {
	case NAKCheck:
		return "NAK: wrong checksum"
	case NAKLength:
		return "NAK: wrong length"
	case NAKUnknown:
		return "NAK: unknown command"
	case NAKSequence:
		return "NAK: wrong sequence number"
	case NAKSecurity:
		return "NAK: no such secure channel"
	case NAKPlain:
		return "NAK: secure channel required"
	case NAKBioType:
		return "NAK: no such biometric type"
	case NAKBioForm:
		return "NAK: no such biometric format"
	case NAKRecord:
		return "NAK: cannot process the record"
	}
	return fmt.Sprintf("NAK: reason %d", byte(n))
}

// Color is that of an LED (§6.10, table 19).
type Color byte

// The colours that are shown.
const (
	ColorOff   Color = 0
	ColorRed   Color = 1
	ColorGreen Color = 2
)

// flash is the data of LED that shows a colour for tenths of a second on the first LED, and then what it showed before.
func flash(b []byte, c Color, tenths uint16) []byte {
	return append(b, 0, 0, // reader, LED
		2, 1, 0, byte(c), byte(ColorOff), byte(tenths), byte(tenths>>8), // temporary: set, on, off, colours, timer
		0, 0, 0, 0, 0) // permanent: leave
}

// beep is the data of BUZ that sounds the tone times times for on tenths of a second, off tenths apart.
func beep(b []byte, on, off, times byte) []byte { return append(b, 0, 2, on, off, times) }

// keySet is the data of KEYSET that gives a reader its base key.
func keySet(b []byte, k *Key) []byte { return append(append(b, 1, KeySize), k.raw[:]...) }
