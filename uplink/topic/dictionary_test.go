package topic_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"watchpost/storage/event"
)

// -write-dictionary trains the dictionary of that number, unless its file is there. Then: embed it, give it the next packing
// number in frame.go, let Packer write it and Unpacker read it, and pin its hash below.
var writeDictionary = flag.Int("write-dictionary", 0, "train this dictionary and write its file, if there is none")

// dictionaries pins every dictionary that was ever given out. A line here is never changed.
func dictionaries() map[int]string {
	return map[int]string{
		1: "2608b3ef769f203cb689d7616573a2569b0c48cc41f20cbe3ea2ae29c0647128",
	}
}

func dictionaryFile(n int) string { return fmt.Sprintf("dictionary-%d.bin", n) }

func TestDictionaries(t *testing.T) {
	if n := *writeDictionary; n > 0 {
		if _, err := os.Stat(dictionaryFile(n)); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s is there, and a dictionary is never changed (%v)", dictionaryFile(n), err)
		}
		if err := os.WriteFile(dictionaryFile(n), train(t, uint32(n)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range dictionaries() {
		b, err := os.ReadFile(dictionaryFile(n))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); got != want || len(b) > 16<<10 {
			t.Errorf("%s has %d bytes and SHA-256 %s, want %s: it was given out, and is never edited", dictionaryFile(n), len(b), got, want)
		}
	}
}

// train makes a dictionary: records of all kinds as what may be referred to, the most frequent last, where referring to them
// is cheapest, and tables of the bytes that are left.
func train(t *testing.T, id uint32) []byte {
	const size = 12 << 10
	common := everyday()
	names := slices.Sorted(maps.Keys(common))
	makes := rare()
	for _, name := range names {
		makes = append(makes, common[name], common[name])
	}
	var samples [][]byte
	for seed := range uint64(60) {
		for _, e := range newCorpus(seed).events(event.LaneMain, 80, makes...) {
			samples = append(samples, record(t, e))
		}
	}
	var history []byte
	for i, one := range rare() {
		history = append(history, record(t, newCorpus(uint64(100+i)).events(event.LaneMain, 1, one)[0])...)
	}
	for seed := uint64(200); len(history) < size-200; seed++ {
		c := newCorpus(seed)
		for _, name := range names {
			for _, e := range c.events(event.LaneMain, 2, common[name]) {
				history = append(history, record(t, e)...)
			}
		}
	}
	b, err := zstd.BuildDict(zstd.BuildDictOptions{ID: id, Contents: samples, History: history, Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is one event as it stands in a frame.
func record(t testing.TB, e event.Event) []byte {
	b, err := event.AppendRecord(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}
