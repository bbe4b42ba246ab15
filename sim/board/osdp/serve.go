package osdp

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Port is a serial line as readers hold it.
type Port interface {
	io.ReadWriter
	SetReadDeadline(t time.Time) error
}

// Serve answers the commands of a line for the readers that hang on it, until ctx ends. Each hears all and answers its own.
func Serve(ctx context.Context, port Port, readers ...*Reader) error {
	stop := context.AfterFunc(ctx, func() { _ = port.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var buf []byte
	chunk := make([]byte, longest)
	for {
		n, err := port.Read(chunk)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("osdp line: %w", err)
		}
		buf = append(buf, chunk[:n]...)
		for {
			q, used, ok := next(buf)
			if !ok {
				buf = buf[used:]
				break
			}
			for _, r := range readers {
				if r.o.Address != q.address {
					continue
				}
				if out := r.answer(q); out != nil {
					if _, err := port.Write(out); err != nil && ctx.Err() == nil {
						return fmt.Errorf("osdp line: %w", err)
					}
				}
			}
			buf = buf[used:]
		}
	}
}
