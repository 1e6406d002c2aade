import Gemma4
import Tensors
import Weights

/// How weights are held and what they are multiplied by: fewer bits for speed.
public struct Precision: Sendable {
    /// What meets the decoder's weights in blocks of 4 to 8 bits.
    public var activations = Activations.int8
    /// The type, one of `BlockQuantizer.types`, to which the decoder's matrices in f32, bf16 or f16 are rounded as they are
    /// read, with the exceptions of `WeightTypes`; nil leaves them as they are. A file from `gemma4 quantize` loads faster.
    public var quantization: ElementType?
    /// What meets the clipped linears of the towers. With `int8` their weights are rounded to q8_0.
    public var towerActivations = Activations.float32

    /// How keys and values of past tokens are stored; nil takes f16 where weights are in blocks, f32 elsewhere.
    public var keyValueType: KeyValueType?

    public init() {}

    /// - Throws: `CheckpointError` if the layers are to be rounded and have been before: less would be left than either says.
    func check(_ checkpoint: Checkpoint, _ configuration: ModelConfiguration) throws(CheckpointError) {
        guard let quantization else { return }
        for row in TensorTable(configuration).rows where [.attention, .feedForward, .experts].contains(row.part) {
            guard let entry = checkpoint.entries[row.name], entry.elementType.blockLength > 1 else { continue }
            throw CheckpointError(
                .invalidTensor, file: checkpoint.path, place: entry.storedName,
                expected: "f32, f16 or bf16, to be rounded to \(quantization)", found: "\(entry.elementType)",
                remedy: "Leave the file its types, or give the model as published.")
        }
    }

    /// The types to which matrices are rounded as they are read, by name.
    package func roundedTypes(_ configuration: ModelConfiguration) -> [String: ElementType] {
        let types = WeightTypes(layers: quantization, towers: towerActivations == .int8 ? .q8_0 : nil)
        var result: [String: ElementType] = [:]
        for row in TensorTable(configuration).rows
        where ![.vision, .audio].contains(row.part) || row.name.hasSuffix(".linear.weight") {
            result[row.name] = types.type(of: row)
        }
        return result
    }
}
