package main

import (
	"fmt"
	"time"

	"watchpost/drivers/dc09"
)

// decodeDC09 prints one frame.
type decodeDC09 struct {
	capture
	KeyHex    string `xor:"key" placeholder:"K" help:"Key of the account, as 32, 48 or 64 hex digits."`
	KeyASCII  string `xor:"key" name:"key-ascii" placeholder:"K" help:"Key of the account, as 16, 24 or 32 characters."`
	CRCWithCR bool   `name:"crc-with-cr" help:"CRC and length may count the final CR, as Eldes panels do."`
}

// Help is shown below the flags.
func (decodeDC09) Help() string {
	return `Reads the bytes as they were on the wire: what stands before LF and after CR is ignored. Prints a JSON object: the fields of
the header, data, extended blocks, time and events. Without the right key the content of an encrypted frame stays null.
A frame that a receiver would not answer prints {"reject": true, "reason": [...]} of crc, length, grammar; exit code 1.`
}

// Run decodes.
func (c decodeDC09) Run(d deps) error {
	key, err := c.key()
	if err != nil {
		return usageError{err}
	}
	b, err := c.read(d)
	if err != nil {
		return err
	}
	f, err := dc09.ParseCapture(b, func(string) bool { return c.CRCWithCR })
	if err != nil {
		return reject(d, err)
	}
	if !f.Encrypted {
		return printJSON(d.stdout, plainFrame{header: headerOf(f), content: contentOf(f)})
	}
	switch err := f.Open(key); {
	case err == nil:
		return printJSON(d.stdout, openFrame{headerOf(f), f.CipherBytes, f.PadLen, contentOf(f)})
	case err != dc09.ErrUnreadable:
		return reject(d, err)
	case key == nil:
		fmt.Fprintln(d.stderr, "stationctl: the frame is encrypted: give the account's key with --key-hex or --key-ascii, as the panel's installer typed it")
	default:
		fmt.Fprintln(d.stderr, "stationctl: the key does not open this frame: 32 characters may be key_ascii or key_hex, try the other one; else ask the panel's installer for the account's key")
	}
	return printJSON(d.stdout, shutFrame{headerOf(f), f.CipherBytes, nil})
}

// key is the one that was given, nil if none was.
func (c decodeDC09) key() (*dc09.Key, error) {
	switch {
	case c.KeyHex != "":
		return dc09.KeyHex(c.KeyHex)
	case c.KeyASCII != "":
		return dc09.KeyASCII(c.KeyASCII)
	}
	return nil, nil
}

// What is printed of a frame: plain, decrypted, or still encrypted.
type (
	plainFrame struct {
		header
		content
	}
	openFrame struct {
		header
		CipherBytes int `json:"cipher_bytes"`
		PadLen      int `json:"pad_len"`
		content
	}
	shutFrame struct {
		header
		CipherBytes int  `json:"cipher_bytes"`
		Data        *int `json:"data"` // null
	}
)

// header is what is readable of every frame; null = absent, "" = the letter stands without digits.
type header struct {
	ID        string  `json:"id"`
	Encrypted bool    `json:"encrypted"`
	Seq       string  `json:"seq"`
	Receiver  *string `json:"receiver"`
	Line      *string `json:"line"`
	Account   *string `json:"account"`
}

func headerOf(f dc09.Frame) header {
	return header{f.ID, f.Encrypted, f.Seq, field(f.Receiver), field(f.Line), field(f.Account)}
}

func field(f dc09.Field) *string {
	if !f.Set {
		return nil
	}
	s := dc09.UTF8(f.Text)
	return &s
}

type content struct {
	Data          string   `json:"data"`
	Xdata         []string `json:"xdata"`
	Timestamp     *string  `json:"timestamp"`
	AccountInData *string  `json:"account_in_data"`
	Events        []any    `json:"events"`
}

func contentOf(f dc09.Frame) content {
	c := content{Data: dc09.UTF8(f.Data), Xdata: []string{}, AccountInData: field(f.AccountInData), Events: []any{}}
	for _, x := range f.Extended {
		c.Xdata = append(c.Xdata, dc09.UTF8(x))
	}
	if !f.Time.IsZero() {
		c.Timestamp = orNull(f.Time.Format(time.RFC3339))
	}
	for _, r := range f.Reports {
		if r.Format == dc09.FormatCID {
			c.Events = append(c.Events, cidEvent{r.Format, digit(r.Qualifier), orNull(r.Code), orNull(r.Area), orNull(r.Zone)})
		} else {
			c.Events = append(c.Events, siaEvent{r.Format, orNull(r.Code), orNull(r.Zone), orNull(r.Area), orNull(r.Peripheral), orNull(r.User), orNull(r.Clock), orNull(r.Text)})
		}
	}
	return c
}

type siaEvent struct {
	Format     string  `json:"format"`
	Code       *string `json:"code"`
	Zone       *string `json:"zone"`
	Area       *string `json:"area"`
	Peripheral *string `json:"peripheral"`
	User       *string `json:"user"`
	Time       *string `json:"time"`
	Text       *string `json:"text"`
}

type cidEvent struct {
	Format    string  `json:"format"`
	Qualifier *int    `json:"qualifier"`
	Code      *string `json:"code"`
	Partition *string `json:"partition"`
	Zone      *string `json:"zone"`
}

func digit(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
