// Package permission says which AWS actions each role needs, and which a request needs; it
// decides what a policy allows. It is for tests: Terraform's policies, the requests of the
// integration tests and docs/security.md are held against Roles.
package permission

import (
	"cmp"
	"slices"
)

// Role is who works with what is stored.
type Role string

// The roles that modules/sdsaws makes policies for.
const (
	Participant Role = "participant" // a process with an adapter
	Sweeper     Role = "sweeper"     // modules/sweeper, or sdsaws sweep --all
	Reader      Role = "reader"      // history, messages and hints
	Operator    Role = "operator"    // sdsaws fsck --all --repair
)

// On is what an action is about.
type On string

// What there is. Objects are those of segments and values.
const (
	State   On = "state table"
	Index   On = "index"
	Hints   On = "hints table"
	Objects On = "objects"
	Bucket  On = "bucket"
)

// Grant is one action on one thing.
type Grant struct {
	Action string
	On     On
}

// Compare orders grants.
func Compare(a, b Grant) int {
	return cmp.Or(cmp.Compare(a.On, b.On), cmp.Compare(a.Action, b.Action))
}

// WithoutVersions is what writers need as well where the bucket has no versions. The module's
// has: what is deleted there is deleted by its version.
const WithoutVersions = "s3:DeleteObject"

var (
	reads  = []string{"dynamodb:GetItem", "dynamodb:Query"}
	batch  = []string{"dynamodb:BatchGetItem"}
	writes = []string{"dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem"}
	gets   = []string{"s3:GetObject", "s3:GetObjectVersion"}
	puts   = []string{"s3:DeleteObjectVersion", "s3:PutObject"}
)

func on(what On, actions ...[]string) (all []Grant) {
	for _, a := range slices.Concat(actions...) {
		all = append(all, Grant{a, what})
	}
	return all
}

// Roles has what each role needs, and no more.
var Roles = map[Role][]Grant{
	Participant: slices.Concat(
		on(State, reads, batch, writes, []string{"dynamodb:UpdateItem"}), // the update is a claim
		on(Hints, batch, []string{"dynamodb:BatchWriteItem"}),
		on(Objects, gets, puts),
		on(Bucket, []string{"s3:ListBucketVersions"})),
	Sweeper: slices.Concat(
		on(State, reads, writes),
		on(Index, []string{"dynamodb:Query", "dynamodb:Scan"}), // the scan lists namespaces
		on(Hints, []string{"dynamodb:BatchWriteItem"}),
		on(Objects, gets, puts),
		on(Bucket, []string{"s3:ListBucket", "s3:ListBucketVersions"})),
	Reader: slices.Concat(
		on(State, reads, batch),
		on(Hints, batch),
		on(Objects, []string{"s3:GetObjectVersion"})),
	Operator: slices.Concat(
		on(State, reads, batch, writes, []string{"dynamodb:Scan"}),
		on(Index, []string{"dynamodb:Query"}),
		on(Hints, batch, []string{"dynamodb:BatchWriteItem"}),
		on(Objects, gets, puts),
		on(Bucket, []string{"s3:ListBucket", "s3:ListBucketVersions"})),
}
