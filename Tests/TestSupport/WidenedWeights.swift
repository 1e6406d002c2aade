import Tensors
import Weights

/// The weights of a checkpoint as an f32 file would hold them.
public struct WidenedWeights: WeightSource {
    private let checkpoint: Checkpoint

    public init(_ checkpoint: Checkpoint) { self.checkpoint = checkpoint }

    public var path: String { checkpoint.path }

    public func tensor(_ name: String, _ shape: Shape, on device: Device) throws(CheckpointError) -> Tensor? {
        try checkpoint.tensor(name, shape, on: device)?.widened()
    }

    public func advise(_ access: MappedFile.Access, _ name: String) { checkpoint.advise(access, name) }
}
