package dc09

import (
	"watchpost/drivers/contactid"
	"watchpost/storage/event"
)

// meaning is what a report says in our words, whatever format it came in.
type meaning struct {
	contactid.Meaning
	qualifier event.Qualifier
}

// mean looks a report up. A restore of anything is a notice.
func mean(r Report) meaning {
	var m meaning
	if r.Format == FormatCID {
		m.Meaning, _ = contactid.Lookup(r.Code)
		m.qualifier = contactid.Qualifier(r.Qualifier)
	} else {
		m.Meaning, m.qualifier, _ = contactid.LookupSIA(r.Code)
	}
	if m.qualifier == event.QualifierRestore && m.Class != contactid.ClassUnknown {
		m.Severity = event.SeverityNotice
	}
	return m
}
