package lint

import "strings"

// moduleRow pairs modules of others (by import path) with packages of ours.
type moduleRow struct {
	modules  []string
	packages []string
	why      string
}

// frugalPackages may import the modules of their row and no other.
func frugalPackages() []moduleRow {
	return []moduleRow{
		{nil, []string{"storage/event"}, "the vocabulary outlives every dependency: standard library only"},
		{[]string{"github.com/pion/rtp"}, []string{"storage/ring"}, "the ring holds RTP packets and nothing else"},
	}
}

// confinedModules may be imported by the packages of their row and no other.
func confinedModules() []moduleRow {
	return []moduleRow{
		{[]string{"github.com/jcmturner/gokrb5/..."}, []string{"uplink/identity/..."}, "one room knows Kerberos, so that one room is audited"},
		{[]string{"periph.io/..."}, []string{"drivers/periph/..."}, "periph registers drivers from init(): it stays in its nested module"},
		{[]string{"modernc.org/sqlite/..."}, []string{"tools/dispatch/..."}, "a station keeps its log in Badger; SQLite is the centre's"},
		{[]string{"github.com/nats-io/..."}, []string{"tools/dispatch/..."}, "a station speaks MQTT to any broker; the embedded one is the centre's"},
	}
}

func checkModules(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for name, spec := range f.imports() {
				if why := t.moduleRefused(p.Path, name); why != "" {
					v := t.at(f, spec, "%s must not import %s", p.Path, name)
					v.Why = why
					found = append(found, v)
				}
			}
		}
	}
	return found
}

// moduleRefused says why a package may not import a module of others, or "".
func (t *Tree) moduleRefused(pkg, name string) string {
	if _, ours := t.folder(name); ours || standard(name) {
		return ""
	}
	for _, row := range frugalPackages() {
		if matchAny(row.packages, pkg) && !matchAny(row.modules, name) {
			return row.why
		}
	}
	for _, row := range confinedModules() {
		if matchAny(row.modules, name) && !matchAny(row.packages, pkg) {
			return row.why
		}
	}
	return ""
}

// standard reports whether an import path is the standard library's: its first name is no domain.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
