import Tensors
import Weights

/// The weights of a checkpoint as an f32 file would hold them.
package struct WidenedWeights: WeightSource {
    private let checkpoint: Checkpoint

    package init(_ checkpoint: Checkpoint) { self.checkpoint = checkpoint }

    package var path: String { checkpoint.path }

    package func tensor(_ name: String, _ shape: Shape, on device: Device) throws(CheckpointError) -> Tensor? {
        try checkpoint.tensor(name, shape, on: device)?.widened()
    }

    package func advise(_ access: MappedFile.Access, _ name: String) { checkpoint.advise(access, name) }
}
