package main

import (
	"maps"
	"sync"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/price"
	"github.com/sdsaws/sdsaws/s3archive"
)

// Ledger is what one way to keep the channels of a trace takes.
type Ledger struct {
	Way             string                 `json:"way"`
	WriteUnits      map[dynamo.Purpose]int `json:"write_units"`
	ReadUnits       int                    `json:"read_units"`
	Requests        map[string]int         `json:"requests"`          // to DynamoDB and S3
	RequestsPerSave float64                `json:"requests_per_save"` // to DynamoDB, hints and archive apart
	S3Puts          int                    `json:"s3_puts"`
	S3Gets          int                    `json:"s3_gets"`
	S3Lists         int                    `json:"s3_lists"`
	StoredBytes     int64                  `json:"stored_bytes"` // at the end, in DynamoDB: bodies and message ids
	ValueBytes      int64                  `json:"value_bytes"`  // the same of messages and snapshots in S3
	ArchivedBytes   int64                  `json:"archived_bytes"`
	HintsWritten    int                    `json:"hints_written"`
	DollarsAMillion float64                `json:"dollars_per_million_saves"`
}

// writeUnits returns all write units.
func (l *Ledger) writeUnits() (n int) {
	for _, units := range l.WriteUnits {
		n += units
	}
	return n
}

// book adds up what requests use. It may be used concurrently.
type book struct {
	mu       sync.Mutex
	write    map[dynamo.Purpose]int
	read     int
	requests map[string]int
	channel  int // requests that aren't for hints or for the archive
}

func newBook() *book {
	return &book{write: map[dynamo.Purpose]int{}, requests: map[string]int{}}
}

func (b *book) add(u dynamo.Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.Requests > 0 {
		b.requests[u.Operation] += u.Requests
	}
	if u.WriteUnits > 0 {
		b.write[u.Purpose] += u.WriteUnits
	}
	b.read += u.ReadUnits
	switch u.Purpose {
	case dynamo.Commits, dynamo.Claims, dynamo.Loads:
		b.channel += u.Requests
	case dynamo.Deletes, dynamo.Manifests, dynamo.HintOps:
	}
}

func (b *book) addS3(u s3archive.Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[u.Operation]++
}

// ledger returns what was added up, for so many saves.
func (b *book) ledger(way string, prices *price.List, saves int) Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := Ledger{Way: way, WriteUnits: maps.Clone(b.write), ReadUnits: b.read, Requests: maps.Clone(b.requests),
		S3Puts: b.requests["PutObject"], S3Gets: b.requests["GetObject"], S3Lists: b.requests["ListObjectVersions"]}
	n := float64(max(1, saves))
	l.RequestsPerSave = float64(b.channel) / n
	l.DollarsAMillion = prices.Dollars(l.writeUnits(), l.ReadUnits, l.S3Puts+l.S3Lists, l.S3Gets) * 1e6 / n
	return l
}
