package event

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a record, checked on the way in and on the way out.
const (
	MaxRecord = 16 << 10 // bytes of one canonical record
	MaxName   = 96       // bytes of Zone and of Source
	MaxFields = 256      // fields of a Body
)

// recordFormat is the first byte of every record. Golden bytes of a released format are never edited.
const recordFormat = 1

// ErrRecord is wrapped by every error about bytes that are no canonical record.
var ErrRecord = errors.New("not a canonical event record")

// AppendRecord appends the canonical bytes of e: all of it but Station and Epoch, which name the log that it stands
// in (the frame and the topic say them once).
//
//	format 1 · seq uvarint · at int64 · lane<<4|severity · qualifier<<4|clock · kind uvarint · version
//	kernel uvarint [boot id 4 bytes, if kernel ≠ 0] · zone text · source text · fields to the end
//
// A field is uvarint(tag<<2|form) and its value: uvarint, zigzag varint, or uvarint length and bytes. Fields stand in
// ascending tag order and numbers in their shortest form, so equal events have equal bytes.
func AppendRecord(dst []byte, e Event) ([]byte, error) {
	if err := e.validate(); err != nil {
		return dst, fmt.Errorf("event %s of %s: %w", e.Kind, e.Source, err)
	}
	start := len(dst)
	dst = append(dst, recordFormat)
	dst = binary.AppendUvarint(dst, e.Seq)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.At.UnixNano()))
	dst = append(dst, byte(e.Lane)<<4|byte(e.Severity), byte(e.Qualifier)<<4|byte(e.ClockQuality))
	dst = binary.AppendUvarint(dst, uint64(e.Kind))
	dst = append(dst, e.Version)
	dst = binary.AppendUvarint(dst, uint64(e.KernelNS))
	if e.KernelNS != 0 {
		dst = binary.BigEndian.AppendUint32(dst, e.BootID)
	}
	dst = appendText(dst, e.Zone)
	dst = appendText(dst, e.Source)
	for _, f := range e.Body {
		dst = binary.AppendUvarint(dst, uint64(f.Tag)<<2|uint64(f.Form))
		switch f.Form {
		case FormUint:
			dst = binary.AppendUvarint(dst, f.num)
		case FormInt:
			dst = binary.AppendVarint(dst, int64(f.num))
		default:
			dst = appendText(dst, f.text)
		}
	}
	if n := len(dst) - start; n > MaxRecord {
		return dst[:start], fmt.Errorf("event %s of %s: %d bytes, at most %d fit: keep pictures and long texts in files", e.Kind, e.Source, n, MaxRecord)
	}
	return dst, nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (e Event) validate() error {
	switch {
	case e.Seq == 0:
		return errors.New("seq 0 names no event")
	case e.At.IsZero():
		return errors.New("no time: the station's sink must stamp it")
	case e.At.UTC().Year() < 1970 || e.At.UTC().Year() > 2261:
		return fmt.Errorf("time %s is outside 1970–2261", e.At)
	case e.KernelNS < 0:
		return fmt.Errorf("kernel time %d is negative", e.KernelNS)
	case laneName(e.Lane) == "" || severityName(e.Severity) == "" || qualifierName(e.Qualifier) == "" || clockName(e.ClockQuality) == "":
		return fmt.Errorf("lane %d, severity %d, qualifier %d or clock quality %d is no word of ours", e.Lane, e.Severity, e.Qualifier, e.ClockQuality)
	case e.Kind == 0 || e.Version == 0:
		return errors.New("kind and version count from 1")
	case len(e.Zone) > MaxName || len(e.Source) > MaxName:
		return fmt.Errorf("zone and source hold at most %d bytes", MaxName)
	case !utf8.ValidString(e.Zone) || !utf8.ValidString(e.Source):
		return errors.New("zone and source must be UTF-8")
	case len(e.Body) > MaxFields:
		return fmt.Errorf("%d fields, at most %d", len(e.Body), MaxFields)
	}
	for i, f := range e.Body {
		if f.Form == FormText && !utf8.ValidString(f.text) {
			return fmt.Errorf("field %s is not UTF-8: send it as bytes", f.Tag)
		}
		if f.Tag == 0 || f.Form > FormBytes || i > 0 && f.Tag < e.Body[i-1].Tag {
			return fmt.Errorf("field %s out of order or of no form: make bodies with NewBody", f.Tag)
		}
	}
	return nil
}

// DecodeRecord reads what AppendRecord wrote for an event of (station, epoch). Bytes that AppendRecord could not have
// written are refused, so that one event has one form.
func DecodeRecord(station string, epoch Epoch, b []byte) (Event, error) {
	if len(b) > MaxRecord {
		return Event{}, fmt.Errorf("%w: %d bytes, at most %d", ErrRecord, len(b), MaxRecord)
	}
	r := reader{b: b}
	if f := r.byte(); r.err == nil && f != recordFormat {
		return Event{}, fmt.Errorf("%w: format %d, this version reads %d", ErrRecord, f, recordFormat)
	}
	e := Event{Station: station, Epoch: epoch, Seq: r.uvarint()}
	e.At = time.Unix(0, int64(r.fixed(8))).UTC()
	laneSeverity, qualifierClock := r.byte(), r.byte()
	e.Lane, e.Severity = Lane(laneSeverity>>4), Severity(laneSeverity&15)
	e.Qualifier, e.ClockQuality = Qualifier(qualifierClock>>4), ClockQuality(qualifierClock&15)
	e.Kind, e.Version = Kind(r.bounded(math.MaxUint16)), r.byte()
	if e.KernelNS = int64(r.bounded(math.MaxInt64)); e.KernelNS != 0 {
		e.BootID = uint32(r.fixed(4))
	}
	e.Zone, e.Source = r.text(), r.text()
	for r.err == nil && len(r.b) > 0 && len(e.Body) <= MaxFields {
		e.Body = append(e.Body, r.field())
	}
	if r.err == nil {
		r.err = e.validate()
	}
	if r.err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrRecord, r.err)
	}
	return e, nil
}

// reader takes values off the front of a record; after the first error everything reads as zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = errors.New(why)
	}
	r.b = nil
}

func (r *reader) fixed(n int) (v uint64) {
	if len(r.b) < n {
		r.fail("ends too early")
		return 0
	}
	for _, c := range r.b[:n] {
		v = v<<8 | uint64(c)
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte { return byte(r.fixed(1)) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("number cut, too long or not in its shortest form")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bounded(limit uint64) uint64 {
	v := r.uvarint()
	if v > limit {
		r.fail("number beyond its range")
		return 0
	}
	return v
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("text longer than the record")
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) field() Field {
	head := r.bounded(math.MaxUint16<<2 | 3)
	f := Field{Tag: Tag(head >> 2), Form: Form(head & 3)}
	switch f.Form {
	case FormUint:
		f.num = r.uvarint()
	case FormInt:
		u := r.uvarint()
		f.num = u>>1 ^ -(u & 1) // zigzag
	default:
		f.text = r.text()
	}
	return f
}

// MarshalJSON is the view for people and tools: words instead of numbers, RFC 3339 time. It is not read back.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Station   string       `json:"station"`
		Epoch     Epoch        `json:"epoch"`
		Seq       uint64       `json:"seq"`
		Lane      Lane         `json:"lane"`
		At        time.Time    `json:"at"`
		KernelNS  int64        `json:"kernel_ns,omitempty"`
		BootID    string       `json:"boot_id,omitempty"`
		Clock     ClockQuality `json:"clock"`
		Kind      Kind         `json:"kind"`
		Version   uint8        `json:"version"`
		Qualifier Qualifier    `json:"qualifier"`
		Zone      string       `json:"zone,omitempty"`
		Source    string       `json:"source"`
		Severity  Severity     `json:"severity"`
		Body      Body         `json:"body,omitempty"`
	}{
		e.Station, e.Epoch, e.Seq, e.Lane, e.At, e.KernelNS, e.bootText(), e.ClockQuality, e.Kind, e.Version,
		e.Qualifier, e.Zone, e.Source, e.Severity, e.Body,
	})
}

func (e Event) bootText() string {
	if e.KernelNS == 0 {
		return ""
	}
	return fmt.Sprintf("%08x", e.BootID)
}

// Name is the event's unique name as people write it: station/epoch/seq.
func (e Event) Name() string {
	return strings.Join([]string{e.Station, e.Epoch.String(), fmt.Sprint(e.Seq)}, "/")
}
