import Weights

/// `vision_config` of the 12B, which has no image encoder: patches are projected directly. Properties are its keys,
/// camel-cased.
///
/// Source: transformers, `configuration_gemma4_unified.py`, `Gemma4UnifiedVisionConfig`.
package struct UnifiedVisionConfiguration: Sendable, Hashable {
    package let patchSize: Int
    package let poolingKernelSize: Int
    /// Width of the projected patches, before the projection to the decoder's width.
    package let mmEmbedDim: Int
    /// Number of learned positions per axis, in model patches.
    package let mmPosembSize: Int
    package let rmsNormEps: Float

    /// Side in pixels of a model patch, which becomes one soft token.
    package var modelPatchSize: Int { patchSize * poolingKernelSize }
    /// Values of a model patch.
    package var patchValues: Int { 3 * modelPatchSize * modelPatchSize }

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        patchSize = try object.integer("patch_size", in: 1...256)
        poolingKernelSize = try object.integer("pooling_kernel_size", in: 1...64)
        mmEmbedDim = try object.integer("mm_embed_dim")
        mmPosembSize = try object.integer("mm_posemb_size", in: ConfigurationObject.vocabularySizes)
        rmsNormEps = Float(try object.number("rms_norm_eps", above: 0))
        guard modelPatchSize <= 256 else {
            throw object.invalid(
                "pooling_kernel_size", expected: "patches of at most 256 pixels, pooled",
                found: "\(poolingKernelSize) times \(patchSize)")
        }
        // Some files also state derived values.
        for (key, expected) in [("model_patch_size", modelPatchSize), ("output_proj_dims", mmEmbedDim)] {
            let found = try object.integerIfPresent(key) ?? expected
            guard found == expected else { throw object.invalid(key, expected: "\(expected)", found: "\(found)") }
        }
    }
}

/// `audio_config` of the 12B, which has no sound encoder: frames of samples are projected directly. Properties are
/// its keys, camel-cased.
///
/// Source: transformers, `configuration_gemma4_unified.py`, `Gemma4UnifiedAudioConfig`.
package struct UnifiedAudioConfiguration: Sendable, Hashable {
    /// Samples per soft token, at 16 kHz.
    package let audioEmbedDim: Int
    package let rmsNormEps: Float

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        audioEmbedDim = try object.integer("audio_embed_dim")
        rmsNormEps = Float(try object.number("rms_norm_eps", above: 0))
        let samples = try object.integerIfPresent("audio_samples_per_token") ?? audioEmbedDim
        guard samples == audioEmbedDim else {
            throw object.invalid(
                "audio_samples_per_token", expected: "\(audioEmbedDim), as audio_embed_dim", found: "\(samples)")
        }
    }
}
