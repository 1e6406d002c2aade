import Gemma4
import Tensors
import Weights

/// The precision of weights, activations and the key-value cache: fewer bits for speed.
public struct Precision: Sendable {
    /// The type of the activations that the decoder's quantized weights are multiplied by.
    public var activations = Activations.int8
    /// The type, one of `BlockQuantizer.types`, to which the decoder's f32, bf16 or f16 matrices are quantized while
    /// loading, with the exceptions of `WeightTypes`; nil keeps the stored types. A file from `gemma4 quantize` loads
    /// faster.
    public var quantization: ElementType?
    /// The type of the activations of the towers' clipped linears. With `int8` their weights are quantized to q8_0.
    public var towerActivations = Activations.float32

    /// The type of cached keys and values; nil selects f16 if the decoder multiplies quantized weights by int8
    /// activations, f32 otherwise.
    public var keyValueType: KeyValueType?

    /// The precision that suits the checkpoint.
    public init() {}

    /// - Throws: `CheckpointError` if `quantization` is set and the layers are already quantized: quantizing twice
    ///   loses more than either type states.
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

    /// The types to which matrices are quantized while loading, by name.
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
