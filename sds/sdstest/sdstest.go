// Package sdstest is the conformance suite of the contract in package sds. [Run] is for
// stores that offer all that Go callers get, [RunPersistence] for those that offer the five
// operations.
//
// Each subtest is named after the guarantee that it checks. What random tests do depends
// on a seed, which they log; the flag -sdstest.seed repeats one.
package sdstest

import (
	"context"
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

// Store is what a complete store offers: the contract, decoded and encoded, and what Go
// callers get beside it.
type Store interface {
	sds.Persistence
	SaveEncodedMeta(ctx context.Context, channelID string, meta []byte) error
	UpdateEncodedHistory(ctx context.Context, channelID string, u sds.EncodedHistoryUpdate) error
	LoadEncodedChannel(ctx context.Context, channelID string) (sds.EncodedChannelData, error)

	// Commit stores a pair. It is durable when it returns nil.
	Commit(ctx context.Context, channelID string, meta *sds.ChannelMeta, u *sds.HistoryUpdate) error
	CommitEncoded(ctx context.Context, channelID string, meta []byte, u sds.EncodedHistoryUpdate) error

	// Flush returns nil when all that was accepted before is durable, hints included.
	Flush(ctx context.Context) error

	// Close flushes. What comes after it fails with sds.ErrClosed.
	Close(ctx context.Context) error

	// Hints returns the hints of those messages that have one, by message id, those that
	// were accepted and are not durable yet included.
	Hints(ctx context.Context, messageIDs ...string) (map[string][]byte, error)
}

// Harness has the stored state of one participant, empty at first. If it also has a
// method OpenOther, with the signature of Open, that opens stores of another participant
// in the same place, and that participants are apart is tested too.
type Harness interface {
	// Open returns a new store on the state, as a process that starts would. Stores
	// that were opened before are left as they are: open, and never used again or used
	// along with it. The harness closes them at the end of the test, if it must; their
	// errors are then of no interest.
	Open(t *testing.T) Store

	// Durable says that UpdateHistory returns when the pair is durable. Otherwise it
	// returns when the pair is accepted.
	Durable() bool
}

// PersistenceHarness is a [Harness] of stores that need offer the five operations only.
// Their UpdateHistory must be durable when it returns, and so must their SetRetrievalHint
// and a snapshot alone once its channel was loaded, unless they have a Flush. What a
// store has of the other methods of [Store] is tested as well, and logged where it has
// not.
type PersistenceHarness interface {
	Open(t *testing.T) sds.Persistence
}

type otherParticipant interface {
	OpenOther(t *testing.T) Store
}

// need is what a store or harness must offer for a guarantee to be tested.
type need uint

const (
	encoded need = 1 << iota
	committing
	flushing
	closing
	hinting
	participants
	committedMode
)

var needNames = []string{"encoded operations", "Commit and CommitEncoded", "Flush", "Close", "Hints",
	"OpenOther in its harness", "committed mode"}

func (n need) String() string {
	for i, name := range needNames {
		if n&(1<<i) != 0 {
			return name
		}
	}
	return "nothing"
}

type guarantee struct {
	name  string
	needs need
	test  func(e *env)
}

// Run checks every guarantee, each against a new harness.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	run(t, func(t *testing.T) (*env, need) {
		h := newHarness(t)
		e := &env{T: t, openStore: h.Open, durable: h.Durable()}
		offers := encoded | committing | flushing | closing | hinting
		if e.durable {
			offers |= committedMode
		}
		if o, ok := h.(otherParticipant); ok {
			offers |= participants
			e.openOther = o.OpenOther
		}
		return e, offers
	})
}

// RunPersistence checks every guarantee that the stores offer the methods for, each
// against a new harness.
func RunPersistence(t *testing.T, newHarness func(t *testing.T) PersistenceHarness) {
	t.Helper()
	run(t, func(t *testing.T) (*env, need) {
		h := newHarness(t)
		open := func(t *testing.T) Store { return widen(h.Open(t)) }
		return &env{T: t, openStore: open, durable: true}, offered(h.Open(t)) | committedMode
	})
}

func run(t *testing.T, newEnv func(t *testing.T) (*env, need)) {
	t.Helper()
	_, offers := newEnv(t)
	for _, g := range guarantees {
		if missing := g.needs &^ offers; missing != 0 {
			t.Logf("not tested, for want of %v: %s", missing, g.name)
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			e, _ := newEnv(t)
			e.ctx, e.offers = t.Context(), offers
			g.test(e)
		})
	}
}

var guarantees = []guarantee{
	{"AnUnknownChannelIsEmpty", 0, unknownChannel},
	{"APairComesBackByteForByte", 0, pairComesBack},
	{"DecodedAndEncodedOperationsAreTheSame", 0, decodedAndEncoded},
	{"ASnapshotAloneComesBackAfterFlush", flushing, snapshotAfterFlush},
	{"ASnapshotAloneComesBackAfterClose", closing, snapshotAfterClose},
	{"SavingAgainChangesNothing", 0, savingAgain},
	{"AnEmptyUpdateChangesNothing", 0, emptyUpdate},
	{"LargeValuesComeBack", 0, largeValues},

	{"HistoryIsInContractOrder", 0, contractOrder},
	{"AppendingWhatIsThereChangesNothing", 0, appendSame},
	{"AppendingOtherBytesReplaces", 0, appendOther},
	{"EvictingWhatIsNotThereChangesNothing", 0, evictUnknown},
	{"AnEvictedMessageCanBeAppendedAgain", 0, appendEvicted},
	{"AppendsComeBeforeEvicts", 0, appendsFirst},
	{"WhatIsNotYetCommittedCanBeEvicted", 0, evictUncommitted},
	{"TheLatestOperationDecides", 0, latestDecides},

	{"ACommitIsDurableOnReturn", committing, commitIsDurable},
	{"AnUpdateIsDurableOnReturn", committedMode, updateIsDurable},
	{"AnUpdateIsDurableAfterFlush", flushing, updateAfterFlush},
	{"AnUpdateIsDurableAfterClose", closing, updateAfterClose},
	{"ASnapshotNeverTouchesTheHistory", 0, snapshotAlone},
	{"AnAbandonedStoreLeavesAPrefix", 0, abandonedPrefix},
	{"APairIsNeverCut", 0, pairNeverCut},

	{"ADroppedChannelIsEmpty", 0, dropEmpties},
	{"ADropIsOfOneChannel", 0, dropIsOfOne},
	{"ADroppedChannelCanBeUsedAtOnce", 0, useAfterDrop},
	{"DroppingWhatIsNotThereIsNoError", 0, dropNothing},
	{"WhatWaitsIsDroppedToo", 0, dropWaiting},

	{"ChannelsAreApart", 0, channelsApart},
	{"ParticipantsAreApart", participants | hinting, participantsApart},
	{"MessageIDsAreArbitraryBytes", 0, messageIDs},

	{"AnEmptyChannelIDIsRefused", 0, emptyChannelID},
	{"NilArgumentsAreRefused", 0, nilArguments},
	{"NumbersFrom2To63AreRefused", 0, numbersOutOfRange},
	{"AnUnknownSchemaVersionIsRefused", 0, schemaVersions},
	{"UndecodableBytesAreRefused", encoded, undecodable},
	{"ARefusedUpdateLeavesItsSnapshot", 0, refusedUpdate},
	{"AClosedStoreRefusesEverything", closing, closedStore},

	{"ALoadFencesTheHolderBefore", 0, loadFences},
	{"AFencedStoreStaysFenced", flushing | committing, staysFenced},
	{"AFirstWriteClaims", 0, firstWriteClaims},
	{"LoadingAnUnknownChannelClaimsIt", 0, unknownChannelClaims},

	{"HintsComeBack", hinting | flushing, hintsComeBack},
	{"HintsAreArbitraryBytes", hinting | flushing, hostileHints},

	{"TheCallerMayReuseItsSlices", 0, slicesReused},
	{"HintsMayBeReused", hinting | flushing, hintSlices},
	{"WhatIsLoadedBelongsToTheCaller", 0, loadedIsOwned},

	{"ChannelsCanBeUsedConcurrently", 0, manyChannels},
	{"OneChannelCanBeUsedConcurrently", 0, oneChannel},
	{"ACancelledOperationIsDoneOrNot", 0, cancelledBefore},
	{"ACancelledCommitIsDoneOrNot", committing, cancelledDuring},
}
