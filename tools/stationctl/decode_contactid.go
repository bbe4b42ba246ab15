package main

import (
	"fmt"
	"strings"

	"watchpost/drivers/contactid"
	"watchpost/drivers/dc09"
	"watchpost/storage/event"
)

// decodeContactID prints what codes mean.
type decodeContactID struct {
	capture
}

// Help is shown below the flags.
func (decodeContactID) Help() string {
	return `Reads events as panels send them (1130 01 012), with or without their account and brackets, or single codes: three digits
of DC-05 (130), or two letters of DC-03 (BA). Prints a JSON object with each of them and its meaning; a code that is not
known is of class unknown. What is neither prints {"reject": true, "reason": ["grammar"]}; exit code 1.`
}

// Run decodes.
func (c decodeContactID) Run(d deps) error {
	b, err := c.read(d)
	if err != nil {
		return err
	}
	events := []meantEvent{}
	for rest := payload(string(b)); rest != ""; {
		var m meantEvent
		var ok bool
		if m, rest, ok = nextMeant(rest); !ok {
			return reject(d, fmt.Errorf("decoding: %w", &dc09.Refusal{Reasons: []dc09.Reason{dc09.ReasonGrammar},
				Detail: "want events such as 1130 01 012, or codes such as 130 or BA"}))
		}
		events = append(events, m)
		rest = strings.TrimLeft(rest, " /|\t\r\n")
	}
	if len(events) == 0 {
		return reject(d, &dc09.Refusal{Reasons: []dc09.Reason{dc09.ReasonGrammar}, Detail: "nothing to decode"})
	}
	return printJSON(d.stdout, struct {
		Events []meantEvent `json:"events"`
	}{events})
}

// payload takes brackets and account off.
func payload(s string) string {
	s = strings.TrimSpace(s)
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if strings.HasPrefix(s, "#") {
		_, s, _ = strings.Cut(s, "|")
	}
	return strings.TrimPrefix(s, "|")
}

// meantEvent is an event with its meaning; what the input does not say is null.
type meantEvent struct {
	Format    string  `json:"format"`
	Qualifier *int    `json:"qualifier"`
	Code      string  `json:"code"`
	Partition *string `json:"partition"`
	Zone      *string `json:"zone"`
	User      *string `json:"user"`
	Meaning   string  `json:"meaning"`
	Kind      string  `json:"kind"`
	Class     string  `json:"class"`
	Severity  string  `json:"severity"`
	Says      string  `json:"says"` // new, restore or status
}

// nextMeant reads the first event or code of s.
func nextMeant(s string) (m meantEvent, rest string, ok bool) {
	if e, rest, ok := contactid.Next(s); ok {
		meaning, _ := contactid.Lookup(e.Code)
		m := meant(dc09.FormatCID, e.Code, meaning, contactid.Qualifier(e.Qualifier))
		m.Qualifier, m.Partition = &e.Qualifier, &e.Partition
		if meaning.User {
			m.User = &e.Zone
		} else {
			m.Zone = &e.Zone
		}
		return m, rest, true
	}
	code, rest, _ := strings.Cut(s, " ")
	code = strings.TrimSpace(code)
	switch {
	case len(code) == 3 && strings.Trim(code, "0123456789ABCDEFabcdef") == "":
		meaning, _ := contactid.Lookup(code)
		return meant(dc09.FormatCID, code, meaning, event.QualifierNew), rest, true
	case len(code) == 2 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
		meaning, q, _ := contactid.LookupSIA(code)
		return meant(dc09.FormatSIA, code, meaning, q), rest, true
	}
	return meantEvent{}, s, false
}

func meant(format, code string, m contactid.Meaning, q event.Qualifier) meantEvent {
	if q == event.QualifierRestore && m.Class != contactid.ClassUnknown {
		m.Severity = event.SeverityNotice
	}
	return meantEvent{
		Format: format, Code: code, Meaning: m.Text, Kind: string(m.Kind), Class: string(m.Class), Severity: m.Severity.String(), Says: q.String(),
	}
}
