package mooring.sdktests;

import com.azure.messaging.eventhubs.CheckpointStore;
import com.azure.messaging.eventhubs.models.Checkpoint;
import com.azure.messaging.eventhubs.models.PartitionOwnership;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Checkpoints and ownerships of one process: what the SDK asks of a CheckpointStore. */
final class Checkpoints implements CheckpointStore {
  private final Map<String, Checkpoint> checkpoints = new ConcurrentHashMap<>();
  private final Map<String, PartitionOwnership> ownerships = new ConcurrentHashMap<>();

  @Override
  public Flux<PartitionOwnership> listOwnership(String namespace, String eventHub, String consumerGroup) {
    return Flux.fromIterable(List.copyOf(ownerships.values()));
  }

  @Override
  public Flux<PartitionOwnership> claimOwnership(List<PartitionOwnership> wanted) {
    List<PartitionOwnership> claimed = new ArrayList<>();
    synchronized (ownerships) {
      for (PartitionOwnership one : wanted) {
        PartitionOwnership held = ownerships.get(one.getPartitionId());
        if (held != null && !held.getETag().equals(one.getETag())) continue;
        one.setETag(UUID.randomUUID().toString()).setLastModifiedTime(System.currentTimeMillis());
        ownerships.put(one.getPartitionId(), one);
        claimed.add(one);
      }
    }
    return Flux.fromIterable(claimed);
  }

  @Override
  public Flux<Checkpoint> listCheckpoints(String namespace, String eventHub, String consumerGroup) {
    return Flux.fromIterable(List.copyOf(checkpoints.values()));
  }

  @Override
  public Mono<Void> updateCheckpoint(Checkpoint checkpoint) {
    checkpoints.put(checkpoint.getPartitionId(), checkpoint);
    return Mono.empty();
  }
}
