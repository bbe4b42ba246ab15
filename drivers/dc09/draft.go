package dc09

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// maxZone is how much of a panel's zone number goes into a name.
const maxZone = 32

// drafts are the events of a frame that was heard now, in its order, each made when it is asked for: a frame may hold many.
func (a *account) drafts(f *Frame, now time.Time) iter.Seq[event.Draft] {
	return func(yield func(event.Draft) bool) {
		if len(f.Reports) == 0 {
			return
		}
		once, kernel := onceKey(f), bus.Monotonic()
		if once != "" && f.Stamp == "" {
			once = a.dated(once, now)
		}
		for i, r := range f.Reports {
			m := mean(r)
			d := event.Draft{
				KernelNS: kernel, Kind: event.KindPanelEvent, Qualifier: m.qualifier, Source: a.source, Severity: m.Severity,
				Body: a.body(f, r, m),
			}
			if !namesUser(r, m) {
				d.Zone = a.zone(r.Zone)
			}
			if once != "" {
				d.Once = once + "/" + strconv.Itoa(i)
			}
			if !yield(d) {
				return
			}
		}
	}
}

// namesUser says that the number behind the code is a user's, not a zone's.
func namesUser(r Report, m meaning) bool { return m.User && r.User == "" }

// zone is the station's name for a zone of the panel.
func (a *account) zone(panel string) string {
	if panel == "" {
		return ""
	}
	if name, ok := a.Zones[panel]; ok {
		return name
	}
	return a.ID + "/" + panel[:min(len(panel), maxZone)]
}

func (a *account) body(f *Frame, r Report, m meaning) event.Body {
	detail, user := m.Text, r.User
	switch {
	case namesUser(r, m):
		user = r.Zone
	case r.Zone != "":
		detail += ", zone " + r.Zone
	}
	if r.Clock != "" {
		detail += ", at " + r.Clock
	}
	fields := []event.Field{
		event.Text(event.TagFormat, r.Format), event.Text(event.TagCode, r.Code), event.Text(event.TagDetail, detail),
		event.Text(event.TagAccount, a.ID), event.Text(event.TagArea, r.Area), event.Text(event.TagUser, user),
		event.Text(event.TagPeripheral, r.Peripheral), event.Text(event.TagText, UTF8(r.Text)),
		event.Text(event.TagPanelSeq, f.Seq), event.Text(event.TagReceiver, f.Receiver.Text), event.Text(event.TagLine, f.Line.Text),
	}
	if f.Encrypted {
		fields = append(fields, event.Uint(event.TagEncrypted, 1))
	}
	if !f.Time.IsZero() {
		fields = append(fields, event.Int(event.TagPanelTime, f.Time.UnixNano()))
	}
	if in := f.AccountInData; in.Set && !strings.EqualFold(in.Text, a.ID) {
		fields = append(fields, event.Text(event.TagAccountInData, UTF8(in.Text)))
	}
	for _, x := range f.Extended {
		if !strings.HasPrefix(x, "K") { // a key never goes anywhere
			fields = append(fields, event.Text(event.TagExtra, UTF8(x)))
		}
	}
	return event.NewBody(fields...)
}

// onceKey is what a repeat of the frame has in common with it: the number, the time and the content. The pad of an
// encrypted frame may differ. "" when the frame has neither time nor number.
func onceKey(f *Frame) string {
	if f.Stamp == "" && f.Seq == "0000" {
		return ""
	}
	h := sha256.New()
	for _, s := range append([]string{f.ID, f.Data}, f.Extended...) {
		h.Write([]byte(s))
		h.Write([]byte{'\r'}) // stands in no part of a frame
	}
	sum := h.Sum(make([]byte, 0, sha256.Size))
	return f.Seq + f.Stamp + "/" + hex.EncodeToString(sum[:8])
}

// unstampedFor is how long a frame without a time is taken for a repeat. A panel without a clock may count from 0001 again
// after each power cut: what it then says under an old number is a new event.
const unstampedFor = time.Hour

// unstamped is a frame without a time that was heard.
type unstamped struct {
	key   string
	dated string
	since time.Time
}

// dated adds the hour to the key of a frame without a time, and keeps it for the repeats that come after the full hour.
func (a *account) dated(key string, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range slices.Backward(a.unstamped) {
		if u.key == key && now.Sub(u.since) < unstampedFor {
			return u.dated
		}
	}
	if len(a.unstamped) >= event.OnceKept {
		a.unstamped = slices.Delete(a.unstamped, 0, 1)
	}
	u := unstamped{key: key, dated: key + "@" + strconv.FormatInt(now.Unix()/int64(unstampedFor/time.Second), 10), since: now}
	a.unstamped = append(a.unstamped, u)
	return u.dated
}

// UTF8 is text as a panel sends it: UTF-8, or else one byte a character.
func UTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	r := make([]rune, 0, len(s))
	for _, c := range []byte(s) {
		r = append(r, rune(c))
	}
	return string(r)
}
