package lint

import "strings"

// importRow says whom the packages of a room may import. What lies in the same pattern as the importer
// is its own and always allowed. The first row that matches a package is the one that counts.
type importRow struct {
	from  []string // the importers
	may   []string // ours that they may import
	tests []string // what their _test.go files may import besides
	why   string
}

// importTable is the table "from ↓ may import →" of the house.
func importTable() []importRow {
	leaves := []string{"storage/event", "storage/ring"}
	with := func(more ...string) []string { return append(more, leaves...) }
	facts := with("storage/watchorder", "storage/incident")

	return []importRow{
		{leaves, nil, nil, "every arrow may end at event and ring; an arrow out of them would close a circle"},
		{[]string{"storage/..."}, nil, nil, "what a station remembers knows neither the device that felt it nor the wire that carries it"},

		{[]string{"drivers/periph/..."}, []string{"drivers/bus", "firmware/station", "firmware/config"}, nil, "periph is an adapter with a main of its own: it knows the wiring contract and the front door, nothing else"},
		{[]string{"drivers/..."}, leaves, nil, "a driver hands facts to its Sink; who stores, judges or sends them is not its business"},

		{[]string{"uplink/topic"}, leaves, nil, "the wire contract is a leaf: both ends of the wire read it"},
		{[]string{"uplink/..."}, facts, nil, "what crosses the wide area never touches a device or a database; outbox declares the log that it reads"},

		{names("firmware", "arming match record config clock update boot"), append(names("firmware", "image status"), facts...), nil, "decisions are pure: they read facts and configuration, and the station acts"},
		{names("firmware", "supervise status image"), nil, nil, "supervision, status and image layout are leaves that any program may use"},
		{names("firmware", "watchpostd stationinit"), []string{"firmware/..."}, nil, "main is a page: all wiring is in firmware/station"},
		{[]string{"firmware/diag"}, with("uplink/identity", "uplink/access", "firmware/status"), nil, "the service port shows status and asks who may; it holds no device and no database"},
		{[]string{"firmware/station"}, []string{"storage/...", "drivers/...", "uplink/...", "firmware/..."}, nil, "the one package that sees drivers, storage and uplink together; no simulator and no tool is shipped in it"},

		{simulators(), nil, nil, "a simulator that used our codec would make the same mistake on both sides of the wire, and the test would be green"},
		{names("sim", "scenario qemu/... e2e"), with("uplink/topic", "firmware/station", "firmware/config", "firmware/image", "sim/..."), []string{"storage/...", "tools/dispatch/..."}, "scenarios drive what is shipped from outside; only tests look into stores and the centre"},
		{[]string{"sim/fleet"}, with("storage/storagetest", "uplink/topic", "uplink/outbox", "firmware/station", "firmware/config", "firmware/arming", "sim/..."), nil, "the fleet is many stations in one process, configured as stations are, with the stores faked"},

		{[]string{"tools/cli"}, nil, nil, "the manner of a command line is the same for all, whatever they do"},
		{[]string{"tools/dispatch/..."}, []string{"storage/...", "uplink/...", "tools/cli"}, nil, "the centre is a second application: it reads the contracts, never drivers or firmware"},
		{[]string{"tools/simctl/..."}, append(decoders(), "sim/..."), nil, "simctl starts what is shipped as child processes; the simulators are its own, the firmware's insides are not"},
		{[]string{"tools/stationctl/...", "tools/flash/...", "tools/imagebuild/...", "tools/lint/..."}, decoders(), nil, "a tool reads formats and contracts; it does not run parts of a station"},
	}
}

// decoders is what a command may use to show people what is on a disk or a wire.
func decoders() []string {
	return []string{
		"storage/...",
		"drivers/dc09", "drivers/contactid", "drivers/osdp",
		"uplink/topic", "uplink/identity", "uplink/access",
		"firmware/image", "firmware/status",
		"tools/cli",
	}
}

// simulators are the things at the other end of the wires: each stands for itself.
func simulators() []string {
	return names("sim", "board/... panel/... camera/... wan/... disk/... kdc/...")
}

// anyTest is what the _test.go files of every room may import.
func anyTest() []string {
	return append(simulators(), "storage/storagetest", "drivers/bustest")
}

// names puts each of the blank-separated folders below the room.
func names(room, folders string) []string {
	var full []string
	for _, folder := range strings.Fields(folders) {
		full = append(full, room+"/"+folder)
	}
	return full
}

// rowFor finds the first row with a pattern that matches the package, and that pattern.
func rowFor(table []importRow, pkg string) (row importRow, own string, ok bool) {
	for _, row := range table {
		for _, pattern := range row.from {
			if match(pattern, pkg) {
				return row, pattern, true
			}
		}
	}
	return importRow{}, "", false
}

func checkImports(t *Tree) []Violation {
	var found []Violation
	table := importTable()
	for _, p := range t.Packages {
		row, own, ok := rowFor(table, p.Path)
		if !ok {
			found = append(found, Violation{File: p.Path, What: "no row of importTable covers this package",
				Why: "a package outside the table may lean on anybody"})
			continue
		}
		allowed := append([]string{own}, row.may...)
		inTests := append(anyTest(), row.tests...)
		for _, f := range p.Files {
			for name, spec := range f.imports() {
				target, ours := t.folder(name)
				if !ours || matchAny(allowed, target) || f.Test && matchAny(inTests, target) {
					continue
				}
				v := t.at(f, spec, "%s must not import %s", p.Path, target)
				v.Why = row.why
				found = append(found, v)
			}
		}
	}
	return found
}

// commandOf is the folder of the command that a package belongs to, or "".
func commandOf(commands []string, pkg string) string {
	command := ""
	for _, c := range commands {
		if match(c+"/...", pkg) && len(c) > len(command) {
			command = c
		}
	}
	return command
}

func checkCommands(t *Tree) []Violation {
	var commands []string
	for _, p := range t.Packages {
		if p.Name == "main" {
			commands = append(commands, p.Path)
		}
	}
	var found []Violation
	for p, f := range t.files() {
		importer := commandOf(commands, p.Path)
		for name, spec := range f.imports() {
			target, _ := t.folder(name)
			command := commandOf(commands, target)
			if importer != "" && command != "" && command != importer {
				found = append(found, t.at(f, spec, "command %s imports %s of command %s", importer, target, command))
			}
		}
	}
	return found
}
