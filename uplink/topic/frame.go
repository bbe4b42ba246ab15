package topic

import (
	"encoding/binary"
	"errors"
	"fmt"

	"watchpost/storage/event"
)

// frameVersion is the first byte of a frame.
const frameVersion = 1

// MaxFrameEvents is how many events one frame may carry.
const MaxFrameEvents = 256

// Flags of a frame, its second byte.
const flagHistorical = 1

// Packings, a frame's third byte: how its records stand. The numbers are given out once and for ever.
const (
	packingPlain = 0 // as they are
	packingZstd1 = 1 // one zstd frame without its magic number, with dictionary 1
)

// ErrFrame is wrapped by every error about bytes that are no frame.
var ErrFrame = errors.New("not a frame of wp/v1")

// Frame is a run of events of one lane, as one centre is sent them: a link of the lane's chain.
type Frame struct {
	Epoch event.Epoch
	Lane  event.Lane
	// Prev is the seq before Events[0] in this lane for this centre; 0 = the first of the epoch. Filters and
	// evictions leave no false gap.
	Prev       uint64
	Historical bool          // sent from the backlog, not as it happened
	Events     []event.Event // 1 to MaxFrameEvents, ascending in Seq
}

// Last is the seq of the frame's last event.
func (f Frame) Last() uint64 { return f.Events[len(f.Events)-1].Seq }

// AppendFrame appends the wire form of f, with its records as they are; a Packer makes it smaller:
//
//	version 1 · flags · packing · epoch 8 bytes · lane · prev uvarint · count uvarint · records
//
// The records are count × (length uvarint · record), packed as the packing says.
func AppendFrame(dst []byte, f Frame) ([]byte, error) {
	start := len(dst)
	dst, err := appendHead(dst, f, packingPlain)
	if err != nil {
		return dst, err
	}
	if dst, err = appendRecords(dst, f.Events); err != nil {
		return dst[:start], err
	}
	if n := len(dst) - start; n > MaxPayload {
		return dst[:start], fmt.Errorf("%w: %d bytes, at most %d: send fewer events in one", ErrFrame, n, MaxPayload)
	}
	return dst, nil
}

func appendHead(dst []byte, f Frame, packing byte) ([]byte, error) {
	if err := f.validate(); err != nil {
		return dst, err
	}
	flags := byte(0)
	if f.Historical {
		flags |= flagHistorical
	}
	dst = append(dst, frameVersion, flags, packing)
	dst = append(dst, f.Epoch[:]...)
	dst = append(dst, byte(f.Lane))
	dst = binary.AppendUvarint(dst, f.Prev)
	return binary.AppendUvarint(dst, uint64(len(f.Events))), nil
}

func appendRecords(dst []byte, events []event.Event) ([]byte, error) {
	var scratch [512]byte
	record := scratch[:0]
	for _, e := range events {
		var err error
		if record, err = event.AppendRecord(record[:0], e); err != nil {
			return dst, err
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(record))), record...)
	}
	return dst, nil
}

func (f Frame) validate() error {
	if n := len(f.Events); n == 0 || n > MaxFrameEvents {
		return fmt.Errorf("%w: %d events, want 1 to %d", ErrFrame, n, MaxFrameEvents)
	}
	last := f.Prev
	for _, e := range f.Events {
		if e.Epoch != f.Epoch || e.Lane != f.Lane || e.Seq <= last {
			return fmt.Errorf("%w: event %s of lane %s does not follow seq %d of epoch %s, lane %s",
				ErrFrame, e.Name(), e.Lane, last, f.Epoch, f.Lane)
		}
		last = e.Seq
	}
	return nil
}

// DecodeFrame reads a frame that came under station's topic, in any packing. Who reads many keeps an Unpacker.
func DecodeFrame(station string, b []byte) (Frame, error) {
	var u Unpacker
	return u.DecodeFrame(station, b)
}

// decodeHead reads all of a frame but its records.
func decodeHead(b []byte) (f Frame, packing byte, count uint64, records []byte, err error) {
	const head = 3 + 8 + 1
	if len(b) > MaxPayload {
		return f, 0, 0, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, len(b), MaxPayload)
	}
	if len(b) < head {
		return f, 0, 0, nil, fmt.Errorf("%w: %d bytes end too early", ErrFrame, len(b))
	}
	if packing = b[2]; b[0] != frameVersion || b[1]&^flagHistorical != 0 || packing > packingZstd1 {
		return f, 0, 0, nil, fmt.Errorf("%w: version %d, flags %#x, packing %d are not known here: update the centre", ErrFrame, b[0], b[1], packing)
	}
	f = Frame{Historical: b[1]&flagHistorical != 0, Lane: event.Lane(b[11])}
	copy(f.Epoch[:], b[3:11])
	b = b[head:]
	var ok bool
	if f.Prev, b, ok = uvarint(b); !ok {
		return f, 0, 0, nil, fmt.Errorf("%w: prev cut", ErrFrame)
	}
	if count, b, ok = uvarint(b); !ok || count == 0 || count > MaxFrameEvents {
		return f, 0, 0, nil, fmt.Errorf("%w: count %d, want 1 to %d", ErrFrame, count, MaxFrameEvents)
	}
	return f, packing, count, b, nil
}

// decodeRecords reads the records of f, unpacked.
func decodeRecords(f Frame, station string, count uint64, b []byte) (Frame, error) {
	f.Events = make([]event.Event, 0, min(count, uint64(len(b))))
	for i := range count {
		n, rest, ok := uvarint(b)
		if !ok || n > uint64(len(rest)) {
			return Frame{}, fmt.Errorf("%w: event %d of %d cut", ErrFrame, i+1, count)
		}
		e, err := event.DecodeRecord(station, f.Epoch, rest[:n])
		if err != nil {
			return Frame{}, fmt.Errorf("%w: event %d of %d: %w", ErrFrame, i+1, count, err)
		}
		f.Events, b = append(f.Events, e), rest[n:]
	}
	if len(b) != 0 {
		return Frame{}, fmt.Errorf("%w: %d bytes after the last event", ErrFrame, len(b))
	}
	return f, f.validate()
}

func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// Verdict is what a receiver does with a frame.
type Verdict uint8

// The verdicts of the chain rule.
const (
	VerdictStore     Verdict = iota // store the events after head, then move head to Last
	VerdictDuplicate                // all of it is stored already: answer the receipt again
	VerdictGap                      // something before it is missing: store nothing, answer the receipt, so that the station sends again
)

// Accept is the chain rule: a frame is taken when prev ≤ head < last, head being the highest seq stored of that
// station, epoch and lane (0 = none). Of a frame that overlaps head only the events after head are new: fresh.
func Accept(head uint64, f Frame) (v Verdict, fresh []event.Event) {
	switch {
	case f.Last() <= head:
		return VerdictDuplicate, nil
	case f.Prev > head:
		return VerdictGap, nil
	}
	for i, e := range f.Events {
		if e.Seq > head {
			return VerdictStore, f.Events[i:]
		}
	}
	return VerdictDuplicate, nil
}
