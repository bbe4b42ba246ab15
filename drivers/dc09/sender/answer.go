package sender

import (
	"strconv"
	"strings"
	"time"

	"watchpost/drivers/dc09"
)

// verdict is what a receiver has said to a message.
type verdict int

const (
	wrong   verdict = iota // nothing that answers this message: it is counted, and waiting goes on
	taken                  // ACK: it is stored there
	late                   // NAK: the time of the message is off the receiver's clock, which the answer tells
	refused                // DUH: it came whole, and will not be taken
)

// judge reads one frame as the answer to m. An ACK counts if it has the message's number and account and, for a message with a key, is
// encrypted by it and no older than the window: a plain one or an old one may be anybody's. A DUH is believed in clear, since a
// receiver that has no such key can say it no other way. A NAK has neither number nor account.
func judge(wire []byte, m *dc09.Message, key *dc09.Key, clock time.Time, window time.Duration) (verdict, time.Time) {
	f, err := dc09.Parse(wire, nil)
	if err != nil {
		return wrong, time.Time{}
	}
	if f.ID == "NAK" && !f.Encrypted && !f.Time.IsZero() {
		return late, f.Time
	}
	if n, err := strconv.Atoi(f.Seq); err != nil || n != m.Number || !strings.EqualFold(f.Account.Text, m.Account) {
		return wrong, time.Time{}
	}
	if f.Encrypted && f.Open(key) != nil {
		return wrong, time.Time{}
	}
	switch {
	case f.ID == "DUH":
		return refused, time.Time{}
	case f.ID != "ACK" || f.Encrypted != (key != nil):
		return wrong, time.Time{}
	case f.Encrypted && f.Time.Sub(clock).Abs() > window:
		return wrong, time.Time{}
	}
	return taken, time.Time{}
}
