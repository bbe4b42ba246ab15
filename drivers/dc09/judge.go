package dc09

import (
	"context"
	"errors"
	"strings"

	"watchpost/drivers"
)

// hear reads one frame; false: it is not to be believed, and gets no answer.
func (r *Receiver) hear(wire []byte, remote string) (Frame, bool) {
	f, err := Parse(wire, r.overCR)
	if err != nil {
		r.wrong(err, remote)
		return Frame{}, false
	}
	if f.Answer() {
		r.answers.Add(1)
		return Frame{}, false
	}
	return f, true
}

// wrong counts a frame that gets no answer, and tells each thing that can be wrong once: they are a handful.
func (r *Receiver) wrong(err error, remote string) {
	r.bad.Add(1)
	if _, known := r.faults.LoadOrStore(err.Error(), true); !known {
		r.o.Log.Warn("panel frame is wrong and gets no answer; later ones of its sort are only counted", "remote", remote, "error", err)
	}
}

func (r *Receiver) overCR(id string) bool {
	a := r.accounts[strings.ToUpper(id)]
	return a != nil && a.CRCOverCR
}

// judge decides on a frame without waiting for anything. If the account is nil the answer is final; else the frame is
// believed and open, counts as a sign of life, and gets its ACK when its events are stored.
func (r *Receiver) judge(f *Frame, remote string) (a *account, answer []byte) {
	a, answer = r.believe(f, remote)
	if a != nil {
		r.alive(a)
	}
	return a, answer
}

func (r *Receiver) believe(f *Frame, remote string) (a *account, answer []byte) {
	id := f.Account.Text
	if !f.Account.Set {
		id = f.AccountInData.Text // some panels name themselves in the data only
	}
	a = r.accounts[strings.ToUpper(id)]
	switch {
	case a == nil:
		r.refused.note("", id, refusedUnknown, remote)
		return nil, AppendDUH(nil, f)
	case f.Encrypted && a.Key == nil:
		r.refused.note(a.ID, a.ID, refusedNoKey, remote)
		return nil, AppendDUH(nil, f)
	case !f.Encrypted && a.Key != nil:
		r.refused.note(a.ID, a.ID, refusedPlain, remote)
		return nil, AppendDUH(nil, f)
	case !f.Encrypted:
		return a, nil
	}
	if err := f.Open(a.Key); err != nil {
		if _, bad := errors.AsType[*Refusal](err); bad {
			r.wrong(err, remote)
			return nil, nil
		}
		r.refused.note(a.ID, a.ID, refusedKey, remote)
		return nil, AppendDUH(nil, f)
	}
	now := r.o.Now()
	if age := now.Sub(f.Time); f.Time.IsZero() || age > r.o.Behind || age < -r.o.Ahead {
		r.refused.note(a.ID, a.ID, refusedClock, remote)
		a.expectAnew(f, now)
		return nil, AppendNAK(nil, f, now)
	}
	return a, nil
}

// settle stores the events of a frame that judge believed, in order, and gives the ACK; nil if one is not stored. The
// panel's repeat then meets those that were, each of which the log knows by its Once key.
func (r *Receiver) settle(ctx context.Context, sink drivers.Sink, a *account, f *Frame) []byte {
	once := f.Encrypted && len(f.Reports) > 0
	if once {
		select {
		case a.turn <- struct{}{}: // what is at the store on another line may be this very frame, under another time
			defer func() { <-a.turn }()
		case <-ctx.Done():
			return nil
		}
		if a.replayed(f) {
			return r.acknowledge(a, f)
		}
		if a.stampedAnew(f, r.o.Now()) {
			a.remember(f)
			return r.acknowledge(a, f)
		}
	}
	for d := range a.drafts(f, r.o.Now()) {
		err := sink(ctx, d)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !a.failing.Swap(true) {
				r.o.Log.Error("panel events are not stored, so the panel gets no answer", "account", a.ID, "seq", f.Seq, "error", err)
			}
			return nil
		}
		if a.failing.Swap(false) {
			r.o.Log.Info("panel events are stored again", "account", a.ID)
		}
	}
	if once {
		a.remember(f)
	}
	return r.acknowledge(a, f)
}

// acknowledge makes the ACK of a frame whose events are stored, nil if there is no chance for its pad.
func (r *Receiver) acknowledge(a *account, f *Frame) []byte {
	answer, err := AppendACK(nil, f, a.Key, r.o.Now(), r.o.Rand)
	if err != nil {
		r.o.Log.Error("panel event is stored but cannot be acknowledged", "account", a.ID, "error", err)
		return nil
	}
	return answer
}
