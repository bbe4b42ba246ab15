package console

import "testing"

// A browser that saw more than the ledger has, because a backup was restored, must not wait for what it will never be told.
func TestAStreamOfAnotherLedgerIsReset(t *testing.T) {
	d := open(t)
	d.raise()
	if _, word := d.login("李娜").stream("9007199254740991").next("reset"); len(word) != 0 {
		t.Errorf("%v", word)
	}
}
