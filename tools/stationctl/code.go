package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of a code's hash (RFC 9106): a keypad tries every user's code, on a small box, while somebody waits. Four to eight
// digits can be tried out whatever a hash costs, so that the file with them is the owner's alone.
const (
	codeMemory = 8 << 10 // KiB
	codePasses = 2
	codeSalt   = 16 // bytes
	codeHash   = 32 // bytes
)

// maxCodeLine bounds the line that a code is read from, in bytes.
const maxCodeLine = 64

// codeCommand makes the hash of a code.
type codeCommand struct {
	codeFlag
}

// Help is shown below the flags.
func (codeCommand) Help() string {
	return `Asks for a code of 4 to 8 digits, twice, and prints what the configuration has in its place:

  users:
    - {id: li, code: "$argon2id$…"}

A duress code is made the same way, and goes under duress.`
}

// Run asks and prints.
func (c codeCommand) Run(ctx context.Context, d deps) error {
	code, err := d.code(ctx, c.CodeFile)
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`^[0-9]{4,8}$`).MatchString(code) {
		return usageError{errors.New("a code is 4 to 8 digits")}
	}
	if t, ok := d.terminal(c.CodeFile); ok {
		again, err := t.secret(ctx, d.stderr, "the same again: ")
		if err != nil {
			return err
		}
		if again != code {
			return usageError{errors.New("the two were not the same: nothing was made")}
		}
	}
	salt := make([]byte, codeSalt)
	if _, err := rand.Read(salt); err != nil {
		return fmt.Errorf("making a salt: %w", err)
	}
	_, err = fmt.Fprintln(d.stdout, hashLine(code, salt))
	return err
}

// hashLine is the hash of a code as the configuration has it, in quotes, since YAML would cut it at its commas.
func hashLine(code string, salt []byte) string {
	enc := base64.RawStdEncoding.EncodeToString
	hash := argon2.IDKey([]byte(code), salt, codePasses, codeMemory, 1, codeHash)
	return fmt.Sprintf(`"$argon2id$v=19$m=%d,t=%d,p=1$%s$%s"`, codeMemory, codePasses, enc(salt), enc(hash))
}

// code is the code of a wish: from a file, typed at the terminal, or the first line of standard input.
func (d deps) code(ctx context.Context, file string) (string, error) {
	if t, ok := d.terminal(file); ok {
		return t.secret(ctx, d.stderr, "code: ")
	}
	in := d.stdin
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading the code: %w", err)
		}
		defer f.Close()
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxCodeLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the code: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", usageError{errors.New("no code: type it at a terminal, or give it on standard input or with --code-file")}
	}
	return line, nil
}

// terminal is standard input, if the code is typed there.
func (d deps) terminal(file string) (terminal, bool) {
	f, ok := d.stdin.(*os.File)
	if !ok || file != "" {
		return terminal{}, false
	}
	return openTerminal(f)
}
