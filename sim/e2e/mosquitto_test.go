package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mosquittoBroker is Debian's broker with the configuration and the permissions that we ship, on the files of a centre's
// directory.
type mosquittoBroker struct {
	*process
	t             testing.TB
	file, address string
	args          []string
}

// mosquitto starts the broker and answers its URL.
func mosquitto(t testing.TB, dir string) string { t.Helper(); return newMosquitto(t, dir, nil).url() }

// newMosquitto starts the broker; edit changes its configuration and its permissions, nil = not.
func newMosquitto(t testing.TB, dir string, edit func(conf, acl string) (string, string)) *mosquittoBroker {
	t.Helper()
	shipped := filepath.Join("..", "..", "tools", "dispatch", "broker")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(shipped, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	conf, acl := read("mosquitto.conf"), read("mosquitto.acl")
	b := &mosquittoBroker{t: t, file: filepath.Join(t.TempDir(), "mosquitto.conf"), address: freeAddress(t)}
	b.args = []string{"-c", b.file}
	if edit != nil {
		conf, acl = edit(conf, acl)
		b.args = append(b.args, "-v") // each packet is a line of its log
	}
	_, port, _ := net.SplitHostPort(b.address)
	conf = strings.NewReplacer("listener 8883", "listener "+port+" 127.0.0.1\nuser root", "/etc/mosquitto/watchpost/mosquitto.acl", b.acl(),
		"/etc/mosquitto/watchpost/", dir+"/").Replace(conf)
	for path, text := range map[string]string{b.file: conf, b.acl(): acl} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.serve()
	return b
}

func (b *mosquittoBroker) acl() string { return b.file + ".acl" }

func (b *mosquittoBroker) url() string { return "tls://" + b.address }

// serve starts the program, the first time or again, and waits until it listens.
func (b *mosquittoBroker) serve() {
	b.t.Helper()
	const program = "/usr/sbin/mosquitto"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "" {
			b.t.Skip("no " + program + ": run make deps")
		}
		b.t.Fatal(err)
	}
	b.process = start(b.t, program, b.args...)
	eventually(b.t, "mosquitto", func() error {
		if !b.running() {
			b.t.Fatalf("mosquitto ended:\n%s", b.tail(20))
		}
		c, err := net.Dial("tcp", b.address)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// freeAddress is a loopback address that nobody listens on at this moment, for programs that cannot choose one themselves.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// eachBroker runs a test against the built-in broker and against mosquitto.
func eachBroker(t *testing.T, test func(*testing.T, *centre)) {
	t.Run("built-in", func(t *testing.T) { test(t, newCentre(t)) })
	t.Run("mosquitto", func(t *testing.T) { test(t, newCentreOn(t, mosquitto)) })
}
