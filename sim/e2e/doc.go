// A village's station is judged from the outside: these tests start the programs that `make build` made, as separate
// processes, and use them the way their users would.
//
// There are tests only. TestE2E… follow the ways through the house; TestFault… break something on the way;
// TestBench… measure and print one line a figure. WATCHPOST_BIN names the folder with watchpostd, dispatch and
// simctl: `make e2e` sets it.
package e2e
