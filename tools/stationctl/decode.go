package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"watchpost/drivers/dc09"
)

// maxCapture bounds a captured frame and what stands around it, in bytes.
const maxCapture = 64 << 10

// decodeCommand shows people what was on a wire.
type decodeCommand struct {
	DC09      decodeDC09      `cmd:"" name:"dc09" help:"One captured frame of SIA DC-09."`
	ContactID decodeContactID `cmd:"" name:"contactid" help:"Contact ID events, or codes of DC-05 or DC-03."`
}

// capture is a file to be decoded.
type capture struct {
	File string `arg:"" optional:"" default:"-" placeholder:"FILE" help:"File with the bytes; - or nothing is standard input."`
}

func (c capture) read(d deps) ([]byte, error) {
	in := d.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("reading the capture: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxCapture+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the capture: %w", err)
	case len(b) > maxCapture:
		return nil, fmt.Errorf("reading the capture: it has more than %d bytes: cut one frame out of it", maxCapture)
	}
	return b, nil
}

// rejected is what is printed of something that is no frame.
type rejected struct {
	Reject bool          `json:"reject"`
	Reason []dc09.Reason `json:"reason"`
}

// reject prints why, and gives the error back.
func reject(d deps, err error) error {
	r, ok := errors.AsType[*dc09.Refusal](err)
	if !ok {
		return err
	}
	return errors.Join(err, printJSON(d.stdout, rejected{true, r.Reasons}))
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// orNull is null for a text that is absent.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	s = dc09.UTF8(s)
	return &s
}
