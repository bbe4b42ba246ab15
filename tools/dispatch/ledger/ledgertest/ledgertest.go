// A test of the centre begins with an empty ledger and a few villages in its roster.
package ledgertest

import (
	"testing"

	"watchpost/tools/dispatch/ledger"
)

// Open makes a ledger in a folder of the test's own, with these stations enrolled, and closes it at the test's end.
func Open(t testing.TB, stations ...ledger.Station) *ledger.Ledger {
	t.Helper()
	dir := t.TempDir()
	if err := ledger.Create(t.Context(), dir, "常山县"); err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range stations {
		if err := book.Enrol(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return book
}
