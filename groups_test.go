package sdsaws_test

import (
	"fmt"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// TestNoGroupGoesPastWhatWasStagedInVain: what a staging of unknown outcome left in the log can
// look like the begin of a group, and a reader can't tell. So what is written behind it is
// packed against nothing before it, and stays whole when that is archived.
func TestNoGroupGoesPastWhatWasStagedInVain(t *testing.T) {
	m := newMemory()
	m.Max.Messages = 3
	a := open(t, m, sdsaws.Options{GroupSize: 64, InlineBytes: 1000})
	if err := a.Commit(t.Context(), channel, meta(1), appends("m0", "m1")); err != nil {
		t.Fatal(err)
	}
	u := appends("m2", "m3", "m4", "m5", "m6")
	u.Append[1].Content = noise() // it is in the archive, and so a group of its own
	m.setFault(at("stage", lose))
	if err := a.Commit(t.Context(), channel, meta(2), u); err == nil {
		t.Fatal("a staging without an answer is no error")
	}
	m.setFault(at("", none))
	if err := a.Commit(t.Context(), channel, meta(3), &sds.HistoryUpdate{Evict: []string{"m0", "m1"}}); err != nil {
		t.Fatal(err)
	}

	a = open(t, m, sdsaws.Options{GroupSize: 64, InlineBytes: 1000})
	if _, err := a.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := a.Commit(t.Context(), channel, meta(int64(4+i)), appends(fmt.Sprint("m", 7+i))); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}
	loads(t, m, 6, names(2, 8)...)
	checksClean(t, a)
}
