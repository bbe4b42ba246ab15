package access

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-11-20 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func request() Request {
	return Request{
		Principal: "li", Role: "dispatcher", Jurisdiction: "changshan", Action: ActionView,
		Station: "cs-baishi-caoping", Camera: "gate", Purpose: "alarm 17", At: at("12:00:00"),
	}
}

func night() Policy {
	return Policy{Rules: []Rule{{
		Name: "night", Actions: []string{"viewing.open"}, Roles: []string{"dispatcher"}, Jurisdictions: []string{"changshan"},
		Stations: []string{"cs-*"}, Cameras: []string{"gate", "road-*"},
		Hours: Hours{From: 22 * time.Hour, To: 6 * time.Hour}, PurposeRequired: true,
	}, {
		Name: "noon", Actions: []string{Any}, Roles: []string{Any}, Jurisdictions: []string{"yushan"},
		Stations: []string{Any}, Cameras: []string{Any},
		Hours: Hours{From: 11*time.Hour + 30*time.Minute, To: 13 * time.Hour},
	}}}
}

func TestDecide(t *testing.T) {
	tests := []struct {
		name   string
		policy Policy
		change func(*Request)
		rule   string // "" = denied
		reason string
	}{
		{"no policy", Policy{}, func(*Request) {}, "", "no rule allows viewing.open to a dispatcher of changshan"},
		{"demo", Demo("cs-baishi-caoping"), func(*Request) {}, "demo-see", "rule demo-see"},
		{"demo, supervisor of the other county", Demo("cs-baishi-caoping"), func(r *Request) { r.Role, r.Jurisdiction = "supervisor", "yushan" }, "demo-see", ""},
		{"demo, another station", Demo("ys-shuangming"), func(*Request) {}, "", "not for station"},
		{"demo, a technician", Demo("cs-baishi-caoping"), func(r *Request) { r.Role = "technician" }, "", "no rule"},
		{"demo, a third county", Demo("cs-baishi-caoping"), func(r *Request) { r.Jurisdiction = "quzhou" }, "", "no rule"},
		{"demo, closing needs no purpose", Demo("cs-baishi-caoping"), func(r *Request) { r.Action, r.Purpose, r.Camera = ActionClose, "", "" }, "demo-end", ""},
		{"nobody", Demo("cs-baishi-caoping"), func(r *Request) { r.Principal = "" }, "", "names no person"},
		{"nothing", Demo("cs-baishi-caoping"), func(r *Request) { r.Action = "" }, "", "nothing is asked"},
		{"no purpose", Demo("cs-baishi-caoping"), func(r *Request) { r.Purpose = " \t" }, "", "no purpose"},
		{"no camera", Demo("cs-baishi-caoping"), func(r *Request) { r.Camera = "" }, "", "no camera"},
		{"no role", night(), func(r *Request) { r.Role, r.Jurisdiction = "", "yushan" }, "", "(none)"},
		{"by day", night(), func(*Request) {}, "", "only from 22:00 to 06:00"},
		{"at ten", night(), func(r *Request) { r.At = at("22:00:00") }, "night", ""},
		{"past midnight", night(), func(r *Request) { r.At = at("00:00:00") }, "night", ""},
		{"a second before six", night(), func(r *Request) { r.At = at("05:59:59") }, "night", ""},
		{"at six", night(), func(r *Request) { r.At = at("06:00:00") }, "", "only from"},
		{"by pattern", night(), func(r *Request) { r.At, r.Camera = at("23:00:00"), "road-2" }, "night", ""},
		{"other camera", night(), func(r *Request) { r.At, r.Camera = at("23:00:00"), "yard" }, "", "not for camera yard"},
		{"noon", night(), func(r *Request) { r.Jurisdiction = "yushan" }, "noon", ""},
		{"before noon", night(), func(r *Request) { r.Jurisdiction, r.At = "yushan", at("11:29:59") }, "", "only from 11:30 to 13:00"},
		{"after noon", night(), func(r *Request) { r.Jurisdiction, r.At = "yushan", at("13:00:00") }, "", "only from"},
		{"a rule's own purpose", Policy{Rules: []Rule{{
			Name: "end", Actions: []string{Any}, Roles: []string{Any}, Jurisdictions: []string{Any}, Stations: []string{Any}, PurposeRequired: true,
		}}}, func(r *Request) { r.Action, r.Camera, r.Purpose = ActionClose, "", "" }, "", "no purpose given"},
		{"a broken pattern matches nothing", Policy{Rules: []Rule{{
			Name: "end", Actions: []string{Any}, Roles: []string{Any}, Jurisdictions: []string{Any}, Stations: []string{"["},
		}}}, func(*Request) {}, "", "not for station"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := request()
			test.change(&r)
			got := Decide(test.policy, r)
			if got.Allow != (test.rule != "") || got.Allow && got.Rule != test.rule || !strings.Contains(got.Reason, test.reason) {
				t.Fatalf("got %+v, want rule %q and a reason with %q", got, test.rule, test.reason)
			}
		})
	}
}

func words(t *rapid.T, name string, of ...string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(of), 0, 3).Draw(t, name)
}

func drawRule(t *rapid.T) Rule {
	hour := rapid.IntRange(0, 24)
	return Rule{
		Name:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
		Actions: words(t, "actions", "viewing.open", "viewing.close", Any), Roles: words(t, "roles", "dispatcher", "supervisor", Any, ""),
		Jurisdictions: words(t, "jurisdictions", "changshan", "yushan", Any), Stations: words(t, "stations", "cs-*", Any, "cs-baishi-caoping", "["),
		Cameras:         words(t, "cameras", "gate", "g*", Any),
		Hours:           Hours{From: time.Duration(hour.Draw(t, "from")) * time.Hour, To: time.Duration(hour.Draw(t, "to")) * time.Hour},
		PurposeRequired: rapid.Bool().Draw(t, "purpose required"),
	}
}

func drawRequest(t *rapid.T) Request {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	return Request{
		Principal: pick("principal", "li", ""), Role: pick("role", "dispatcher", "supervisor", ""),
		Jurisdiction: pick("jurisdiction", "changshan", "yushan", ""), Action: Action(pick("action", "viewing.open", "viewing.close", "")),
		Station: pick("station", "cs-baishi-caoping", "ys-1", ""), Camera: pick("camera", "gate", "yard", ""),
		Purpose: pick("purpose", "alarm", " ", ""),
		At:      at("00:00:00").Add(time.Duration(rapid.IntRange(0, 86399).Draw(t, "second")) * time.Second),
	}
}

func TestWithoutARuleNothingIsAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if d := Decide(Policy{}, drawRequest(t)); d.Allow || d.Reason == "" {
			t.Fatalf("allowed by nothing: %+v", d)
		}
	})
}

func TestWhatIsAllowedHasARuleThatAllowsItAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{Rules: rapid.SliceOfN(rapid.Custom(drawRule), 0, 4).Draw(t, "rules")}
		r := drawRequest(t)
		d := Decide(p, r)
		if r.Action == ActionView && strings.TrimSpace(r.Purpose) == "" && d.Allow {
			t.Fatal("a viewing without a purpose")
		}
		if r.Principal == "" && d.Allow {
			t.Fatal("a viewing by nobody")
		}
		alone := false
		for _, rule := range p.Rules {
			alone = alone || Decide(Policy{Rules: []Rule{rule}}, r).Allow
		}
		if alone != d.Allow || d.Reason == "" {
			t.Fatalf("all rules together say %+v, one by one %v", d, alone)
		}
	})
}

// A rule with one part emptied allows nobody: an empty list is never everybody.
func TestAnEmptyListIsNobody(t *testing.T) {
	full := Rule{Name: "all", Actions: []string{Any}, Roles: []string{Any}, Jurisdictions: []string{Any}, Stations: []string{Any}, Cameras: []string{Any}}
	if !Decide(Policy{Rules: []Rule{full}}, request()).Allow {
		t.Fatal("the full rule must allow")
	}
	for name, empty := range map[string]func(*Rule){
		"actions": func(r *Rule) { r.Actions = nil }, "roles": func(r *Rule) { r.Roles = nil },
		"jurisdictions": func(r *Rule) { r.Jurisdictions = nil }, "stations": func(r *Rule) { r.Stations = nil },
		"cameras": func(r *Rule) { r.Cameras = nil },
	} {
		rule := full
		empty(&rule)
		if d := Decide(Policy{Rules: []Rule{rule}}, request()); d.Allow {
			t.Errorf("allowed with no %s: %+v", name, d)
		}
		if err := (Policy{Rules: []Rule{rule}}).Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("no %s: error %v does not name them", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Demo("cs-baishi-caoping").Validate(); err != nil {
		t.Fatal(err)
	}
	if err := night().Validate(); err != nil {
		t.Fatal(err)
	}
	bad := night()
	bad.Rules[0].Name, bad.Rules[1].Name = "same", "same"
	bad.Rules[0].Actions = []string{"zoom"}
	bad.Rules[0].Cameras = []string{"["}
	bad.Rules[1].Hours.To = 25 * time.Hour
	err := bad.Validate()
	for _, want := range []string{"rule 2 (same): needs a name", `action "zoom"`, `pattern "["`, "hour 25h0m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestParseHours(t *testing.T) {
	for text, want := range map[string]Hours{
		"":            {},
		"07:30-19:00": {From: 7*time.Hour + 30*time.Minute, To: 19 * time.Hour},
		"22:00-06:00": {From: 22 * time.Hour, To: 6 * time.Hour},
		"00:00-24:00": {To: 24 * time.Hour},
	} {
		if got, err := ParseHours(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"7-19", "07:30", "07:30-", "07:30-25:00", "7:30-19:00", "07:30-19:00-20:00", "08:00-08:00", "24:01-05:00"} {
		if h, err := ParseHours(text); err == nil {
			t.Errorf("%q was read as %v", text, h)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p, r := night(), request()
	r.At = at("23:00:00")
	for b.Loop() {
		if !Decide(p, r).Allow {
			b.Fatal("denied")
		}
	}
}
