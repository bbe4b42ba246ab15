package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
)

// control speaks QMP with a running emulation (QEMU's docs/interop/qmp-spec.txt): JSON objects, answers and events on one
// stream, and an event may come before the answer to what caused it.
type control struct {
	conn    net.Conn
	answers chan answer // closed at the emulation's end

	mu     sync.Mutex // guards the field below
	reason string     // of the last event SHUTDOWN
}

// answer is what QMP says, as far as we look: the greeting and events have neither return nor error.
type answer struct {
	Return *json.RawMessage
	Error  *struct{ Class, Desc string }
	Event  string
	Data   struct{ Reason string }
}

func newControl(conn net.Conn) *control {
	return &control{conn: conn, answers: make(chan answer, 1)}
}

// read takes what comes until the connection ends.
func (c *control) read() {
	defer close(c.answers)
	in := json.NewDecoder(c.conn)
	for {
		var a answer
		if err := in.Decode(&a); err != nil {
			return
		}
		switch {
		case a.Return != nil || a.Error != nil:
			c.answers <- a
		case a.Event == "SHUTDOWN":
			c.mu.Lock()
			c.reason = a.Data.Reason
			c.mu.Unlock()
		}
	}
}

// ask has the emulation do something, with arguments if they are not nil, and waits until it says that it has. One is asked at
// a time.
func (c *control) ask(ctx context.Context, command string, arguments map[string]any) error {
	request := struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, arguments}
	if err := json.NewEncoder(c.conn).Encode(request); err != nil {
		return fmt.Errorf("asking for %s: %w", command, err)
	}
	select {
	case a, ok := <-c.answers:
		if !ok {
			return fmt.Errorf("asking for %s: the emulation has ended", command)
		}
		if a.Error != nil {
			return fmt.Errorf("asking for %s: %s: %s", command, a.Error.Class, a.Error.Desc)
		}
		return nil
	case <-ctx.Done():
		_ = c.conn.Close() // or its answer would be taken for the next one's
		return fmt.Errorf("asking for %s: %w", command, ctx.Err())
	}
}

// shutdown is why the guest ended, "" if it did not.
func (c *control) shutdown() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}
