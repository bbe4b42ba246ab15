package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal, and the hands and eyes before it.
func pty(t *testing.T) (hands, terminal *os.File) {
	t.Helper()
	hands, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hands.Close() })
	if err := unix.IoctlSetPointerInt(int(hands.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(hands.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return hands, terminal
}

// typing runs stationctl at a terminal and types each line when its question stands there. It answers standard output, all
// that the terminal has shown, and how it ended.
func typing(t *testing.T, args []string, answers ...[2]string) (stdout, shown string, err error) {
	t.Helper()
	hands, terminal := pty(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, &out, terminal
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The terminal itself stays open here, so that its settings can be read afterwards.
	seen := []byte{}
	look := func(until string) {
		for !strings.Contains(string(seen), until) {
			ready := []unix.PollFd{{Fd: int32(hands.Fd()), Events: unix.POLLIN}}
			if n, err := unix.Poll(ready, int(patience/time.Millisecond)); n != 1 {
				t.Fatalf("%q was not shown, but %q: %v", until, seen, err)
			}
			b := make([]byte, 4096)
			n, err := hands.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, b[:n]...)
		}
	}
	for _, a := range answers {
		look(a[0])
		if _, err := io.WriteString(hands, a[1]); err != nil {
			t.Fatal(err)
		}
	}
	err = cmd.Wait()
	if _, err := io.WriteString(terminal, "the end"); err != nil {
		t.Fatal(err)
	}
	look("the end")
	attributes, errAttributes := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if errAttributes != nil || attributes.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal shows nothing any more: %v", errAttributes)
	}
	if left, errLeft := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCINQ); errLeft != nil || left != 0 {
		t.Errorf("%d bytes of what was typed are left for the shell: %v", left, errLeft)
	}
	return out.String(), string(seen), err
}

func TestACodeIsTypedTwiceAndNotShown(t *testing.T) {
	out, shown, err := typing(t, []string{"code"}, [2]string{"code: ", "27182\r"}, [2]string{"the same again: ", "27182\r"})
	if err != nil || !strings.HasPrefix(out, `"$argon2id$v=19$`) {
		t.Errorf("%q, %v", out, err)
	}
	if strings.Contains(shown+out, "27182") {
		t.Errorf("the code was shown: %q", shown)
	}
}

func TestACodeTypedDifferentlyIsNone(t *testing.T) {
	out, shown, err := typing(t, []string{"code"}, [2]string{"code: ", "27182\r"}, [2]string{"the same again: ", "27183\r"})
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitUsage || out != "" || !strings.Contains(shown, "not the same: nothing was made") {
		t.Errorf("%q, %q, %v", out, shown, err)
	}
}

// Ctrl-C at the question leaves a terminal that shows what is typed.
func TestInterruptedAtTheQuestion(t *testing.T) {
	_, shown, err := typing(t, []string{"arm", "house"}, [2]string{"code: ", "27\x03"})
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed || !strings.Contains(shown, "no code was typed") {
		t.Errorf("%q, %v", shown, err)
	}
}

// Keys that end or stop other programs are no way out that leaves a terminal without echo behind.
func TestQuitAtTheQuestion(t *testing.T) {
	_, shown, err := typing(t, []string{"arm", "house"}, [2]string{"code: ", "27\x1c\x1a\r"})
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed || !strings.Contains(shown, "no station listens") {
		t.Errorf("%q, %v", shown, err)
	}
}

// What is pasted beyond a code is not left for the shell to read, and show.
func TestTooMuchIsTyped(t *testing.T) {
	typing(t, []string{"arm", "house"}, [2]string{"code: ", strings.Repeat("2718", 30) + "\r"})
}

func TestNoCodeTyped(t *testing.T) {
	_, shown, err := typing(t, []string{"disarm", "house"}, [2]string{"code: ", "\r"})
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitUsage || !strings.Contains(shown, "no code was typed") {
		t.Errorf("%q, %v", shown, err)
	}
}
