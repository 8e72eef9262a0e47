package sdstest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

// wrong are stores that break one promise each, and the guarantee that has to notice.
var wrong = map[string]struct {
	guarantee string
	store     func(m *memory) bytesOnly
}{
	"has no snapshot of unknown channels":  {"AnUnknownChannelIsEmpty", as[bare]},
	"loses the first message":              {"APairComesBackByteForByte", as[losesFirst]},
	"decodes without repair requests":      {"DecodedAndEncodedOperationsAreTheSame", as[forgetful]},
	"flushes nothing":                      {"ASnapshotAloneComesBackAfterFlush", as[neverFlushes]},
	"closes without a flush":               {"ASnapshotAloneComesBackAfterClose", as[slams]},
	"takes an old snapshot for the stored": {"SavingAgainChangesNothing", noting[seenBefore]},
	"refuses empty updates":                {"AnEmptyUpdateChangesNothing", refusing(emptyUpdates)},
	"refuses 100 KB":                       {"LargeValuesComeBack", refusing(largeUpdates)},

	"sorts by id":                     {"HistoryIsInContractOrder", as[sortsByID]},
	"takes a second append for a new": {"AppendingWhatIsThereChangesNothing", as[toggles]},
	"keeps the first of an id":        {"AppendingOtherBytesReplaces", as[keepsFirst]},
	"refuses to evict the unknown":    {"EvictingWhatIsNotThereChangesNothing", as[knowsAll]},
	"never takes an evicted id again": {"AnEvictedMessageCanBeAppendedAgain", noting[tombstones]},
	"evicts before it appends":        {"AppendsComeBeforeEvicts", as[evictsFirst]},
	"evicts only what was loaded":     {"WhatIsNotYetCommittedCanBeEvicted", noting[evictsLoaded]},
	"appends what it evicts":          {"TheLatestOperationDecides", as[evictsFirst]},

	"commits later":              {"ACommitIsDurableOnReturn", withAFlush},
	"updates later":              {"AnUpdateIsDurableOnReturn", withAFlush},
	"updates after a flush":      {"AnUpdateIsDurableAfterFlush", never},
	"updates after its end":      {"AnUpdateIsDurableAfterClose", never},
	"clears history with a save": {"ASnapshotNeverTouchesTheHistory", as[clears]},
	"leaves out an update":       {"AnAbandonedStoreLeavesAPrefix", second},
	"stores snapshots at once":   {"APairIsNeverCut", as[cuts]},

	"drops the snapshot alone":   {"ADroppedChannelIsEmpty", dropping(onlySnapshot)},
	"drops all with its prefix":  {"ADropIsOfOneChannel", dropping(withPrefix)},
	"takes nothing after a drop": {"ADroppedChannelCanBeUsedAtOnce", noting[closesDropped]},
	"drops only what is there":   {"DroppingWhatIsNotThereIsNoError", dropping(ifThere)},
	"drops what is stored alone": {"WhatWaitsIsDroppedToo", dropping(onlyStored)},

	"cuts channel ids":           {"ChannelsAreApart", as[cutsIDs]},
	"has one participant":        {"ParticipantsAreApart", right}, // the harness does it
	"takes message ids for text": {"MessageIDsAreArbitraryBytes", as[textIDs]},

	"takes an empty channel id":         {"AnEmptyChannelIDIsRefused", as[nameless]},
	"takes a nil context":               {"NilArgumentsAreRefused", as[anyContext]},
	"takes any number":                  {"NumbersFrom2To63AreRefused", forgiving(sds.ErrOutOfRange)},
	"takes any schema version":          {"AnUnknownSchemaVersionIsRefused", forgiving(sds.ErrSchemaVersion)},
	"takes any bytes":                   {"UndecodableBytesAreRefused", forgiving(sds.ErrMalformed)},
	"forgets a snapshot with an update": {"ARefusedUpdateLeavesItsSnapshot", as[discards]},
	"goes on after Close":               {"AClosedStoreRefusesEverything", as[staysOpen]},

	"loads without a claim":           {"ALoadFencesTheHolderBefore", as[looks]},
	"claims back what it lost":        {"AFencedStoreStaysFenced", as[claimsBack]},
	"writes without a claim":          {"AFirstWriteClaims", as[sneaks]},
	"claims only what is there":       {"LoadingAnUnknownChannelClaimsIt", as[looksAtUnknown]},
	"never replaces a hint":           {"HintsComeBack", as[firstHint]},
	"has no empty hints":              {"HintsAreArbitraryBytes", as[fullHints]},
	"keeps the caller's slices":       {"TheCallerMayReuseItsSlices", as[keepsSlices]},
	"keeps the caller's hint":         {"HintsMayBeReused", as[keepsHint]},
	"returns its own slices":          {"WhatIsLoadedBelongsToTheCaller", as[shares]},
	"has one snapshot open":           {"ChannelsCanBeUsedConcurrently", inOnePlace},
	"writes back what it read":        {"OneChannelCanBeUsedConcurrently", as[losesUpdates]},
	"doesn't look at the context":     {"ACancelledOperationIsDoneOrNot", as[deaf]},
	"stops in the middle of a commit": {"ACancelledCommitIsDoneOrNot", as[halfway]},
}

// TestEveryGuaranteeIsBroken: for each of them there is a store that doesn't give it.
func TestEveryGuaranteeIsBroken(t *testing.T) {
	broken := map[string]bool{}
	for _, w := range wrong {
		broken[w.guarantee] = true
	}
	for _, g := range guarantees {
		if !broken[g.name] {
			t.Errorf("no wrong store shows that %s notices anything", g.name)
		}
	}
}

const wrongVariable = "SDSAWS_SDSTEST_WRONG"

// TestSuiteNotices starts itself for every wrong store, as a process of its own: there the
// suite has to fail.
func TestSuiteNotices(t *testing.T) {
	if name, ok := os.LookupEnv(wrongVariable); ok {
		other := "another"
		if name == "has one participant" {
			other = "one"
		}
		Run(t, func(*testing.T) Harness { return processes{newPlace(), wrong[name].store, other} })
		return
	}
	for name, w := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notices(t, "TestSuiteNotices", name, w.guarantee)
		})
	}
}

// TestNoOpIsNoticed: what keeps nothing is no store.
func TestNoOpIsNoticed(t *testing.T) {
	if _, ok := os.LookupEnv(wrongVariable); ok {
		RunPersistence(t, func(*testing.T) PersistenceHarness { return persistences(sds.NoOp) })
		return
	}
	notices(t, "TestNoOpIsNoticed", "NoOp", "APairComesBackByteForByte")
}

// notices runs a guarantee of test with a wrong store, and expects it to fail.
func notices(t *testing.T, test, name, guarantee string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	full := test + "/" + guarantee
	c := exec.CommandContext(t.Context(), exe, "-test.timeout=1m",
		"-test.run=^"+strings.ReplaceAll(full, "/", "$/^")+"$")
	c.Env = append(os.Environ(), wrongVariable+"="+name)
	out, err := c.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("--- FAIL: "+full+" ")) {
		t.Errorf("%s passes with a store that %s: %v\n%s", guarantee, name, err, out)
	}
	if bytes.Contains(out, []byte("panic:")) || bytes.Contains(out, []byte("DATA RACE")) {
		t.Errorf("it wasn't the test that noticed:\n%s", out)
	}
}
