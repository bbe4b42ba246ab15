package intake

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// ErrSilent means that a station has not answered in time. The command is withdrawn: it is not sent again.
var ErrSilent = errors.New("the station has not answered")

// Ask sends a command and waits for the station's reply, at most life. A reply that refuses is returned as its *Problem.
func (i *Intake) Ask(ctx context.Context, a topic.Address, kind string, body any, life time.Duration) (topic.Reply, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return topic.Reply{}, fmt.Errorf("encoding a command %s: %w", kind, err)
	}
	now := time.Now()
	c := ledger.Command{ID: newID(), Address: a, Kind: kind, Body: b, Expires: now.Add(life)}
	answer := i.expect(c.ID)
	defer i.forget(c.ID)
	if err := i.o.Ledger.Put(ctx, c, now); err != nil {
		return topic.Reply{}, err
	}
	i.mention(wish{a, c.ID, kind, b, c.Expires})
	timer := time.NewTimer(life)
	defer timer.Stop()
	select {
	case r := <-answer:
		if r.OK {
			return r, nil
		}
		if r.Error == nil {
			r.Error = &topic.Problem{Kind: "refused", Message: "the station gave no reason"}
		}
		return r, r.Error
	case <-timer.C:
		err = fmt.Errorf("%s: %w within %s", a.Station, ErrSilent, life)
	case <-ctx.Done():
		err = fmt.Errorf("%s: %w: %w", a.Station, ErrSilent, ctx.Err())
	}
	return topic.Reply{}, errors.Join(err, i.o.Ledger.Withdraw(context.WithoutCancel(ctx), c.ID))
}

// mention sends a wish over the present link if there is one with room. If not, it goes out when the station says online.
func (i *Intake) mention(w wish) {
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case i.out <- w: // a nil channel is never ready
	default:
	}
}

func (i *Intake) expect(id string) <-chan topic.Reply {
	c := make(chan topic.Reply, 1)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting[id] = c
	return c
}

func (i *Intake) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.waiting, id)
}

// deliver hands a reply to whoever waits for it.
func (i *Intake) deliver(r topic.Reply) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if c, ok := i.waiting[r.ID]; ok {
		select {
		case c <- r:
		default: // answered already
		}
	}
}

// newID is 16 random bytes as a topic segment.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, by crypto/rand's contract
	return hex.EncodeToString(b[:])
}
