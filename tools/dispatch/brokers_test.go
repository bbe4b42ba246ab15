package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	eavesdrop = time.Second      // for an answer that may never come
	patience  = 10 * time.Second // for one that must
)

// withBrokers runs a test with the built-in broker and with mosquitto under the files that we ship.
func withBrokers(t *testing.T, f func(t *testing.T, dir string, c *centre)) {
	t.Helper()
	t.Run("built-in", func(t *testing.T) {
		dir := newCentre(t)
		f(t, dir, serve(t, dir))
	})
	t.Run("mosquitto", func(t *testing.T) {
		dir := newCentre(t)
		address := mosquitto(t, dir)
		c := serve(t, dir, "--broker", address)
		if c.mqtt != address {
			t.Fatalf("the centre uses %s, not %s", c.mqtt, address)
		}
		f(t, dir, c)
	})
}

// mosquitto runs Debian's mosquitto with the shipped configuration and access list, for the centre in dir.
func mosquitto(t *testing.T, dir string) string {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto"
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("mosquitto is missing: make deps installs it")
		}
		t.Skip("mosquitto is not installed: make deps installs it")
	}
	conf, err := os.ReadFile("broker/mosquitto.conf")
	if err != nil {
		t.Fatal(err)
	}
	acl, err := filepath.Abs("broker/mosquitto.acl")
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	text := strings.NewReplacer(
		"/etc/mosquitto/watchpost/mosquitto.acl", acl, "/etc/mosquitto/watchpost", dir, "listener 8883", fmt.Sprintf("listener %d 127.0.0.1", port),
	).Replace(string(conf))
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, []byte(text+"\nuser root\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file)
	cmd.Stderr = &logWriter{t: t}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	eventually(t, "mosquitto listens", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return "tls://" + address
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// listen notes the topics that a client hears.
func listen(heard chan<- string) paho.MessageHandler {
	return func(_ paho.Client, m paho.Message) {
		select {
		case heard <- m.Topic():
		default:
		}
	}
}
