package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sync/errgroup"
)

// header is the MBAP header (Modbus Messaging on TCP/IP V1.0b, 3.1.3): transaction, protocol, length, unit.
const header = 7

// errFrame ends a connection on which something else than Modbus is spoken.
var errFrame = errors.New("not a Modbus TCP frame")

// ServeTCP answers on ln for the slaves, by their unit numbers, until ctx ends; then it closes ln and all connections.
func ServeTCP(ctx context.Context, ln net.Listener, slaves map[byte]*Slave) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // the accept loop tells
	defer stop()
	group.Go(func() error {
		for {
			conn, err := ln.Accept()
			switch {
			case ctx.Err() != nil:
				if err == nil {
					_ = conn.Close() // nobody was served on it
				}
				return nil
			case err != nil:
				return fmt.Errorf("accepting masters: %w", err)
			}
			group.Go(func() error {
				over := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer over()
				_ = attend(ctx, conn, slaves) // the ways a connection can end are all alike here
				_ = conn.Close()
				return nil
			})
		}
	})
	return group.Wait()
}

// attend answers the requests of one connection, one after the other.
func attend(ctx context.Context, conn io.ReadWriter, slaves map[byte]*Slave) error {
	var head [header]byte
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		length := int(binary.BigEndian.Uint16(head[4:]))
		if binary.BigEndian.Uint16(head[2:]) != 0 || length < 2 || length > maxPDU+1 {
			return errFrame
		}
		pdu := make([]byte, length-1)
		if _, err := io.ReadFull(conn, pdu); err != nil {
			return err
		}
		s := slaves[head[6]]
		if s == nil {
			continue
		}
		answer, mood, delay := s.answer(pdu)
		if mood == Dead || !pause(ctx, delay) {
			continue
		}
		if _, err := conn.Write(wrap(head, answer, mood)); err != nil {
			return err
		}
	}
}

// wrap puts the header of the request before an answer, with what the mood does to it.
func wrap(head [header]byte, pdu []byte, mood Mood) []byte {
	binary.BigEndian.PutUint16(head[4:], uint16(len(pdu)+1))
	switch mood {
	case WrongID:
		binary.BigEndian.PutUint16(head[:], binary.BigEndian.Uint16(head[:])-1)
	case BadCRC:
		pdu = pdu[:len(pdu)-1]
	case Babble:
		return []byte(noise)
	}
	return append(head[:], pdu...)
}
