// Package storetest holds what a backend is tested with: [TestLog] and [TestHints], the
// conformance suites of store.Log and store.Hints. For tests of what is built on a
// backend it has [Memory], a backend that passes them, and [Faulty], which injects faults.
package storetest

import (
	cryptorand "crypto/rand"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// TestLog checks that a store.Log keeps what its interface promises. Its subtests run in
// parallel, each with a Log from open and in a random namespace of its own, so that all
// can share one database; they have ended when TestLog returns.
func TestLog(t *testing.T, open func(t *testing.T) store.Log) {
	t.Helper()
	t.Run("Log", func(t *testing.T) {
		all := slices.Concat(commitTests, repeatTests, loadTests, messagesTests, claimTests,
			deleteTests, stageTests, pageTests, segmentTests, keyTests, limitTests, concurrencyTests, contextTests, ownershipTests)
		for _, test := range all {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				log := open(t)
				test.run(newChannel(t, log, store.Key{Namespace: namespace(), Channel: "channel"}))
			})
		}
	})
}

type logTest struct {
	name string
	run  func(*channel)
}

// namespace returns a namespace that nobody has used.
func namespace() string { return "storetest-" + cryptorand.Text() }

func newCommitID() (id store.CommitID) {
	_, _ = cryptorand.Read(id[:]) // never fails
	return id
}

// random returns n bytes that don't compress.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte([]byte(cryptorand.Text() + cryptorand.Text())[:32]))
	_, _ = r.Read(b) // never fails
	return b
}

// everyByte holds each of the 256 bytes.
func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
