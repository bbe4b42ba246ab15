package dc09

import (
	"strings"

	"watchpost/drivers/contactid"
)

// maxReports is how many events one frame may carry; what follows them is kept as the text of the last.
const maxReports = 16

// reports reads the events out of the data. It never refuses: a payload that it does not understand becomes one report
// without a code, so that nothing that a panel says is dropped.
func (f *Frame) reports() {
	if f.Supervision() || f.Answer() {
		f.AccountInData, _ = dataAccount(f.Data)
		return
	}
	var payload string
	f.AccountInData, payload = dataAccount(f.Data)
	if payload == "" {
		return
	}
	f.Reports = make([]Report, 0, 1)
	switch f.ID {
	case idSIA:
		f.Reports = siaReports(payload, f.Reports)
	case idCID:
		f.Reports = cidReports(payload, f.Reports)
	default:
		f.Reports = append(f.Reports, Report{Format: strings.ToLower(f.ID), Text: payload})
	}
}

// dataAccount splits the data into its account, if it names one, and its payload.
func dataAccount(data string) (Field, string) {
	if rest, ok := strings.CutPrefix(data, "#"); ok {
		account, payload, _ := strings.Cut(rest, "|")
		return Field{Text: account, Set: true}, payload
	}
	return Field{}, strings.TrimPrefix(data, "|")
}

// siaReports reads an SIA-DCS payload: N, modifiers (two small letters and a number), codes (two capitals and a zone),
// texts. A modifier holds for the codes after it, a text belongs to the code before it; slashes are optional.
func siaReports(payload string, out []Report) []Report {
	p := siaReader{rest: siaStart(payload), out: out, from: len(out)}
	for p.rest != "" && len(p.out) < maxReports {
		p.step()
	}
	if len(p.out) == p.from {
		return append(p.out, Report{Format: FormatSIA, Text: payload})
	}
	if p.rest != "" {
		p.text(p.rest, "")
	}
	return p.out
}

// siaStart skips what may stand before the first block: a group number and bar, and the N of a new event.
func siaStart(s string) string {
	if group, rest, ok := strings.Cut(s, "|N"); ok && isHex(group) {
		s = "N" + rest
	}
	return siaNew(s)
}

// siaNew skips the N (new event) or O (old event) before a code, a modifier or a text.
func siaNew(s string) string {
	if len(s) > 2 && (s[0] == 'N' || s[0] == 'O') && (capitals(s[1:]) || smalls(s[1:]) || s[1] == '^' || s[1] == '*') {
		return s[1:]
	}
	return s
}

type siaReader struct {
	rest string
	with Report // modifiers so far
	out  []Report
	from int
}

func (p *siaReader) step() {
	s := p.rest
	switch {
	case s[0] == '/':
		p.rest = siaNew(s[1:])
	case smalls(s):
		p.modifier(s[:2], s[2:])
	case capitals(s):
		n := zoneLen(s[2:])
		r := p.with
		r.Format, r.Code, r.Zone = FormatSIA, s[:2], s[2:2+n]
		p.out, p.rest = append(p.out, r), s[2+n:]
	case strings.HasPrefix(s, "|N"):
		p.rest = siaNew(s[1:])
	case strings.HasPrefix(s, "|A"):
		p.text(s[2:], "|")
		p.rest = strings.TrimLeft(p.rest, "|")
	case s[0] == '^' || s[0] == '*':
		p.text(s[1:], s[:1])
	default:
		p.text(s, "/")
	}
}

// text gives everything up to the end mark, or all if that is "", to the code before it, or, before the first code, to those that follow.
func (p *siaReader) text(s, end string) {
	text, rest := s, ""
	if end != "" {
		text, rest, _ = strings.Cut(s, end)
	}
	p.rest = rest
	if len(p.out) == p.from {
		p.with.Text = text
		return
	}
	last := &p.out[len(p.out)-1]
	if last.Text != "" {
		text = last.Text + " " + text
	}
	last.Text = text
}

// modifier reads the number after two small letters. It is decimal; a hex digit belongs to it only if no code follows.
func (p *siaReader) modifier(name, s string) {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == ':' || hexDigit(s[n]) && !capitals(s[n:]) && !smalls(s[n:])) {
		n++
	}
	value := s[:n]
	p.rest = s[n:]
	switch name {
	case "ti":
		p.with.Clock = value
	case "id":
		p.with.User = value
	case "ri":
		p.with.Area = value
	case "pi":
		p.with.Peripheral = value
	}
}

// zoneLen is how much of s is a zone: decimal digits, and hex digits that begin no other code.
func zoneLen(s string) int {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] >= 'A' && s[n] <= 'F' && !capitals(s[n:])) {
		n++
	}
	return n
}

func capitals(s string) bool {
	return len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func smalls(s string) bool {
	return len(s) > 1 && s[0] >= 'a' && s[0] <= 'z' && s[1] >= 'a' && s[1] <= 'z'
}

// cidReports reads ADM-CID events: qualifier digit and three digits of code, partition, zone or user.
func cidReports(payload string, out []Report) []Report {
	from, s := len(out), payload
	for s != "" && len(out) < maxReports {
		e, rest, ok := contactid.Next(s)
		if !ok {
			break
		}
		out = append(out, Report{Format: FormatCID, Qualifier: e.Qualifier, Code: e.Code, Area: e.Partition, Zone: e.Zone})
		s = strings.TrimLeft(rest, " /|")
	}
	switch {
	case len(out) == from:
		return append(out, Report{Format: FormatCID, Text: payload})
	case s != "":
		out[len(out)-1].Text = strings.Trim(s, "^*")
	}
	return out
}
