// Nobody looks through a station's camera because nothing forbade it: a rule that allows it must exist, and the person
// must say what for.
//
// This package is that decision and nothing else: a pure function of the policy, the request and the time in it. What is
// not allowed by a rule is denied, a viewing without a purpose is denied whatever the rules say, and an empty list in a
// rule means nobody, never everybody. Roles and principals are those of the station's own jurisdiction: a person of
// another one gets a role here only by a rule that names that jurisdiction.
package access

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Action is something that a person may ask of a station. Actions are append-only words, seen in audit events.
type Action string

// The actions.
const (
	ActionView  Action = "viewing.open"  // see and hear a camera live
	ActionClose Action = "viewing.close" // end a viewing
)

// Any stands in a rule's list for every value.
const Any = "*"

// Request is one person asking for one thing.
type Request struct {
	Principal    string // the person, such as wang@CHANGSHAN.EXAMPLE or a dispatcher's name; never empty
	Role         string // as the person's own jurisdiction says, such as dispatcher
	Jurisdiction string // the person's, not the station's
	Action       Action
	Station      string
	Camera       string    // "" where the action has none
	Purpose      string    // why, in the person's words
	At           time.Time // in the station's zone: rules' hours are read off this clock
}

// Decision is what the policy answers, with the words for the audit event.
type Decision struct {
	Allow  bool
	Rule   string // the name of the rule that decided, "" = none did
	Reason string // never empty
}

// Hours is a part of every day, From ≤ t < To since midnight; From after To wraps round midnight. From equal to To is the
// whole day.
type Hours struct {
	From, To time.Duration // since midnight, 0 to 24 h
}

// Rule allows some people some actions. All of its parts must match.
type Rule struct {
	Name            string // unique in its policy; goes into the audit event
	Actions         []string
	Roles           []string
	Jurisdictions   []string
	Stations        []string // shell patterns over the station id, such as cs-*
	Cameras         []string // shell patterns over the camera id; not asked where the action has no camera
	Hours           Hours
	PurposeRequired bool // a viewing needs a purpose anyway
}

// Policy is all the rules of one station. The zero Policy denies everything.
type Policy struct {
	Rules []Rule
}

// Decide answers a request: the first rule that matches allows it, and without one it is denied.
func Decide(p Policy, r Request) Decision {
	if reason := r.incomplete(); reason != "" {
		return Decision{Reason: reason}
	}
	near := Decision{Reason: fmt.Sprintf("no rule allows %s to a %s of %s", r.Action, orNobody(r.Role), orNobody(r.Jurisdiction))}
	best := 0
	for _, rule := range p.Rules {
		failed, depth := rule.mismatch(r)
		if failed == "" {
			return Decision{Allow: true, Rule: rule.Name, Reason: "rule " + rule.Name}
		}
		if depth > best { // the rule that came nearest makes the most useful answer
			best, near = depth, Decision{Rule: rule.Name, Reason: "rule " + rule.Name + ": " + failed}
		}
	}
	return near
}

// incomplete says why a request is denied before any rule is read, "" if it is not.
func (r Request) incomplete() string {
	switch {
	case r.Principal == "":
		return "nobody asks: the request names no person"
	case r.Action == "":
		return "nothing is asked for"
	case r.Action == ActionView && strings.TrimSpace(r.Purpose) == "":
		return "no purpose: a viewing needs one"
	case r.Action == ActionView && r.Camera == "":
		return "no camera named"
	}
	return ""
}

// mismatch says which part of the rule the request fails, "" if none; depth counts the parts that it passed once action,
// role and jurisdiction matched, so that the nearest rule can be told and a stranger learns nothing of the others.
func (rule Rule) mismatch(r Request) (failed string, depth int) {
	if !holds(rule.Actions, string(r.Action)) || !holds(rule.Roles, r.Role) || !holds(rule.Jurisdictions, r.Jurisdiction) {
		return "not for this person and action", 0
	}
	switch {
	case !matches(rule.Stations, r.Station):
		return fmt.Sprintf("not for station %s", r.Station), 1
	case r.Camera != "" && !matches(rule.Cameras, r.Camera):
		return fmt.Sprintf("not for camera %s", r.Camera), 2
	case !rule.Hours.hold(r.At):
		return fmt.Sprintf("only from %s to %s", clock(rule.Hours.From), clock(rule.Hours.To)), 3
	case rule.PurposeRequired && strings.TrimSpace(r.Purpose) == "":
		return "no purpose given", 4
	}
	return "", 5
}

func holds(list []string, v string) bool {
	return v != "" && (slices.Contains(list, v) || slices.Contains(list, Any))
}

func matches(patterns []string, v string) bool {
	return v != "" && slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, v)
		return ok && err == nil
	})
}

// ParseHours reads HH:MM-HH:MM, such as 07:30-19:00 or 22:00-06:00; "" is the whole day, and 24:00 may end it.
func ParseHours(s string) (Hours, error) {
	if s == "" {
		return Hours{}, nil
	}
	from, to, ok := strings.Cut(s, "-")
	h := Hours{From: sinceMidnight(from), To: sinceMidnight(to)}
	if !ok || h.From < 0 || h.To < 0 || h.From == h.To {
		return Hours{}, fmt.Errorf("hours %q: want HH:MM-HH:MM, such as 07:30-19:00", s)
	}
	return h, nil
}

// sinceMidnight reads HH:MM; -1 = it is none.
func sinceMidnight(s string) time.Duration {
	if s == "24:00" {
		return 24 * time.Hour
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return -1
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

func (h Hours) hold(at time.Time) bool {
	if h.From == h.To {
		return true
	}
	hour, minute, second := at.Clock()
	t := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	if h.From < h.To {
		return h.From <= t && t < h.To
	}
	return t >= h.From || t < h.To
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d/time.Hour), int(d%time.Hour/time.Minute))
}

func orNobody(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// Validate reports every rule that cannot mean what its writer meant: without a name, with a name used twice, with an
// empty list, a broken pattern or hours outside a day.
func (p Policy) Validate() error {
	var errs []error
	seen := map[string]bool{}
	for i, r := range p.Rules {
		at := fmt.Sprintf("rule %d (%s)", i+1, r.Name)
		if r.Name == "" || seen[r.Name] {
			errs = append(errs, fmt.Errorf("%s: needs a name of its own", at))
		}
		seen[r.Name] = true
		errs = append(errs, r.validate(at))
	}
	return errors.Join(errs...)
}

func (rule Rule) validate(at string) error {
	var errs []error
	lists := []struct {
		name   string
		values []string
	}{
		{"actions", rule.Actions}, {"roles", rule.Roles}, {"jurisdictions", rule.Jurisdictions},
		{"stations", rule.Stations}, {"cameras", rule.Cameras},
	}
	for _, l := range lists {
		if len(l.values) == 0 {
			errs = append(errs, fmt.Errorf("%s: %s is empty and so allows nobody: write %q for all", at, l.name, Any))
		}
	}
	for _, a := range rule.Actions {
		if a != Any && Action(a) != ActionView && Action(a) != ActionClose {
			errs = append(errs, fmt.Errorf("%s: action %q is not known: want %s, %s or %q", at, a, ActionView, ActionClose, Any))
		}
	}
	for _, pattern := range slices.Concat(rule.Stations, rule.Cameras) {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("%s: pattern %q: %w", at, pattern, err))
		}
	}
	for _, d := range []time.Duration{rule.Hours.From, rule.Hours.To} {
		if d < 0 || d > 24*time.Hour {
			errs = append(errs, fmt.Errorf("%s: hour %s is outside a day", at, d))
		}
	}
	return errors.Join(errs...)
}

// Demo is the policy of the demonstration: dispatchers and supervisors of both counties of the story may see every camera
// of one station at any hour, with a purpose, and end viewings.
func Demo(station string) Policy {
	people := Rule{
		Roles: []string{"dispatcher", "supervisor"}, Jurisdictions: []string{"changshan", "yushan"},
		Stations: []string{station}, Cameras: []string{Any},
	}
	see, end := people, people
	see.Name, see.Actions, see.PurposeRequired = "demo-see", []string{string(ActionView)}, true
	end.Name, end.Actions = "demo-end", []string{string(ActionClose)}
	return Policy{Rules: []Rule{see, end}}
}
