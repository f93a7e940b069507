package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// memoryStore keeps checkpoints and ownerships of one process: what the SDK asks of a CheckpointStore.
type memoryStore struct {
	mutex       sync.Mutex
	checkpoints map[string]azeventhubs.Checkpoint
	ownerships  map[string]azeventhubs.Ownership
	tags        int
}

func newMemoryStore() *memoryStore {
	return &memoryStore{checkpoints: map[string]azeventhubs.Checkpoint{}, ownerships: map[string]azeventhubs.Ownership{}}
}

func (s *memoryStore) ClaimOwnership(_ context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	claimed := []azeventhubs.Ownership{}
	for _, one := range wanted {
		held, isHeld := s.ownerships[one.PartitionID]
		if isHeld && (one.ETag == nil || held.ETag == nil || *one.ETag != *held.ETag) {
			continue
		}
		s.tags++
		tag := azcore.ETag(fmt.Sprint(s.tags))
		one.ETag, one.LastModifiedTime = &tag, time.Now().UTC()
		s.ownerships[one.PartitionID] = one
		claimed = append(claimed, one)
	}
	return claimed, nil
}

func (s *memoryStore) ListCheckpoints(_ context.Context, _, _, _ string, _ *azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := []azeventhubs.Checkpoint{}
	for _, one := range s.checkpoints {
		all = append(all, one)
	}
	return all, nil
}

func (s *memoryStore) ListOwnership(_ context.Context, _, _, _ string, _ *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := []azeventhubs.Ownership{}
	for _, one := range s.ownerships {
		all = append(all, one)
	}
	return all, nil
}

func (s *memoryStore) SetCheckpoint(_ context.Context, checkpoint azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.checkpoints[checkpoint.PartitionID] = checkpoint
	return nil
}
