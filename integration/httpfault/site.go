package httpfault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

// policy is that of all processes: few attempts and short waits, so that what they do to a
// fault is done soon. MaxElapsed is less than the wait for a transaction in progress.
var policy = sdsaws.RetryPolicy{
	MaxAttempts: 3, MaxBackoff: time.Millisecond, MaxElapsed: 2 * time.Second, AttemptTimeout: 50 * time.Millisecond,
}

// Site is an ordeal.Site on two tables and a versioned bucket of its own.
type Site struct {
	cfg                  aws.Config
	base                 *http.Transport
	dynamoDB             string
	state, hints, bucket string

	mu        sync.Mutex // protects what follows
	processes []*Transport
	failed    error // of a release
}

var (
	_ ordeal.Site    = (*Site)(nil)
	_ ordeal.Grouper = (*Site)(nil)
)

// NewSite makes tables and bucket, which Close removes. DynamoDB may have an endpoint that is not
// cfg's.
func NewSite(ctx context.Context, cfg aws.Config, dynamoDB string) (*Site, error) {
	name := "faults-" + strings.ToLower(rand.Text())
	s := &Site{cfg: cfg, dynamoDB: dynamoDB, state: name + "-state", hints: name + "-hints", bucket: name,
		base: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}}
	s.cfg.Logger = logging.Nop{} // the SDK warns of replies that are cut
	db, objects := s.clients(s.base)
	if _, err := dynamo.CreateTables(ctx, db, s.state, s.hints); err != nil {
		return nil, err
	}
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.bucket}); err != nil {
		return nil, err
	}
	_, err := objects.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &s.bucket,
		VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	return s, err
}

func (s *Site) clients(t http.RoundTripper, policies ...sdsaws.RetryPolicy) (*dynamodb.Client, *s3.Client) {
	client := &http.Client{Transport: t}
	db := dynamodb.NewFromConfig(s.cfg, func(o *dynamodb.Options) {
		o.HTTPClient = client
		if s.dynamoDB != "" {
			o.BaseEndpoint = &s.dynamoDB
		}
		for _, p := range policies {
			p.DynamoDB(o)
		}
	})
	objects := s3.NewFromConfig(s.cfg, s3archive.PathStyle, func(o *s3.Options) {
		o.HTTPClient = client
		for _, p := range policies {
			p.S3(o)
		}
	})
	return db, objects
}

// Backend implements ordeal.Site with clients of a process's own. Connections are
// shared: what breaks them is in the transport.
func (s *Site) Backend(d ordeal.Decide) sdsaws.Backend {
	t := &Transport{Base: s.base, Decide: d, Hints: s.hints}
	s.mu.Lock()
	s.processes = append(s.processes, t)
	s.mu.Unlock()
	db, objects := s.clients(t, policy)
	return sdsaws.Backend{
		Log:     dynamo.NewLog(db, s.state, nil),
		Hints:   dynamo.NewHints(db, s.hints, nil),
		Archive: s3archive.New(objects, s.bucket, nil),
	}
}

// Faults implements ordeal.Site.
func (s *Site) Faults(op string) (all []ordeal.Fault) {
	for _, g := range Faults(op) {
		all = append(all, g.Faults...)
	}
	return all
}

// Groups implements ordeal.Grouper.
func (s *Site) Groups(op string) []ordeal.Group { return Faults(op) }

// Release implements ordeal.Site. When something could not be done, Stored says so.
func (s *Site) Release() {
	s.mu.Lock()
	processes := s.processes
	s.mu.Unlock()
	for _, t := range processes {
		if err := t.Release(); err != nil {
			s.mu.Lock()
			s.failed = errors.Join(s.failed, err)
			s.mu.Unlock()
		}
	}
}

// plain is what namespaces must be for Stored: their keys are themselves.
var plain = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// Stored implements ordeal.Site with scans of the tables and a list of the versions in the
// bucket. A delete marker counts as an object.
func (s *Site) Stored(ctx context.Context, namespace string) (map[string]int, error) {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != nil {
		return nil, failed
	}
	if !plain.MatchString(namespace) {
		return nil, fmt.Errorf("httpfault: namespace %q has characters that its keys escape", namespace)
	}
	n := map[string]int{}
	db, objects := s.clients(s.base)
	for _, table := range []string{s.state, s.hints} {
		pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true),
			FilterExpression:          aws.String("begins_with(pk, :ns)"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":ns": &types.AttributeValueMemberS{Value: namespace + "/"}}})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, it := range out.Items {
				n[kind(text(it, "sk"))]++
			}
		}
	}
	for _, k := range []record.Kind{record.Segments, record.Values} {
		channel := record.Folder(k, store.Key{Namespace: namespace})
		all, err := s.versions(ctx, objects, strings.TrimSuffix(channel, "channel=/"))
		if err != nil {
			return nil, err
		}
		n["object"] += len(all)
	}
	return n, nil
}

func text(it map[string]types.AttributeValue, name string) string {
	v, _ := it[name].(*types.AttributeValueMemberS)
	if v == nil {
		return ""
	}
	return v.Value
}

// kind is that of an item with this sort key.
func kind(sk string) string {
	prefix, _, _ := strings.Cut(sk, "#")
	if k := map[string]string{"n": "head", "m": "message", "s": "segment", "": "hint"}[prefix]; k != "" {
		return k
	}
	return sk
}

// versions lists versions and delete markers.
func (s *Site) versions(ctx context.Context, client *s3.Client, prefix string) ([]s3types.ObjectIdentifier, error) {
	var all []s3types.ObjectIdentifier
	pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range out.Versions {
			all = append(all, s3types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range out.DeleteMarkers {
			all = append(all, s3types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
	}
	return all, nil
}

// Close removes tables and bucket, and ends the connections.
func (s *Site) Close(ctx context.Context) error {
	defer s.base.CloseIdleConnections()
	db, objects := s.clients(s.base)
	var failed error
	for _, table := range []string{s.state, s.hints} {
		_, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
		failed = errors.Join(failed, err)
	}
	all, err := s.versions(ctx, objects, "")
	if len(all) > 0 {
		_, deleted := objects.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &s.bucket,
			Delete: &s3types.Delete{Objects: all, Quiet: aws.Bool(true)}})
		err = errors.Join(err, deleted)
	}
	_, gone := objects.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &s.bucket})
	return errors.Join(failed, err, gone)
}
