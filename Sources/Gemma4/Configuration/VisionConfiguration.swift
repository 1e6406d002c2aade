import Weights

/// `vision_config`: the shape of the image encoder. Properties are its keys, camel-cased.
///
/// Source: transformers, `configuration_gemma4.py`, `Gemma4VisionConfig`.
package struct VisionConfiguration: Sendable, Hashable {
    package let hiddenSize: Int
    package let intermediateSize: Int
    package let numHiddenLayers: Int
    package let numAttentionHeads: Int
    package let numKeyValueHeads: Int
    /// A multiple of 4: half of a head is rotated by the column, half by the row.
    package let headDim: Int
    /// Side of a patch in pixels.
    package let patchSize: Int
    /// Side in patches of the square that is pooled to one soft token.
    package let poolingKernelSize: Int
    /// Number of learned positions per axis, in patches.
    package let positionEmbeddingSize: Int
    package let ropeTheta: Double
    package let rmsNormEps: Float
    /// Soft tokens are shifted and scaled by stored vectors (`std_bias`, `std_scale`).
    package let standardize: Bool
    package let useClippedLinears: Bool

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        hiddenSize = try object.integer("hidden_size")
        intermediateSize = try object.integer("intermediate_size")
        numHiddenLayers = try object.integer("num_hidden_layers", in: ConfigurationObject.layerCounts)
        numAttentionHeads = try object.integer("num_attention_heads", in: ConfigurationObject.headCounts)
        numKeyValueHeads = try object.integer("num_key_value_heads", in: ConfigurationObject.headCounts)
        headDim = try object.integer("head_dim", in: ConfigurationObject.headSizes)
        patchSize = try object.integer("patch_size", in: 1...256)
        poolingKernelSize = try object.integer("pooling_kernel_size", in: 1...64)
        positionEmbeddingSize = try object.integer("position_embedding_size", in: ConfigurationObject.vocabularySizes)
        let rope = try object.object("rope_parameters")
        ropeTheta = try RotaryParameters(rope).ropeTheta
        rmsNormEps = Float(try object.number("rms_norm_eps", above: 0))
        standardize = try object.flag("standardize", default: false)
        useClippedLinears = try object.flag("use_clipped_linears", default: false)
        try object.require("hidden_activation", only: "gelu_pytorch_tanh")

        guard numAttentionHeads % numKeyValueHeads == 0 else {
            throw object.invalid(
                "num_key_value_heads", expected: "a divisor of num_attention_heads, \(numAttentionHeads)",
                found: "\(numKeyValueHeads)")
        }
        guard headDim % 4 == 0 else {
            throw object.invalid(
                "head_dim", expected: "a multiple of 4, for RoPE along rows and columns", found: "\(headDim)")
        }
        guard try !object.flag("attention_bias", default: false) else {
            throw object.invalid("attention_bias", expected: "false: no variant has biases in attention", found: "true")
        }
    }
}
