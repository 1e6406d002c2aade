import Weights

/// The naming variants of Gemma 4's tensors in published checkpoints.
enum TensorNames {
    /// The published name of a tensor: `model.language_model.…`, `model.vision_tower.…`, `lm_head.weight`.
    ///
    /// mlx writes `language_model.model.…` and the towers without `model.`; text-only files write `model.layers.…`.
    /// transformers renames the 12B's replacement of the towers once it is loaded, and some files use those names.
    static func published(_ name: String) -> String {
        let published = withoutInputModules(withPublishedPrefix(name))
        let vision = "model.embed_vision."
        guard published.hasPrefix(vision) else { return published }
        let part = published.dropFirst(vision.count)
        if part.hasPrefix("multimodal_embedder.") { return vision + part.dropFirst("multimodal_embedder.".count) }
        let moved = ["patch_ln1.", "patch_dense.", "patch_ln2.", "pos_embedding", "pos_norm."]
        return moved.contains(where: part.hasPrefix) ? "model.vision_embedder." + part : published
    }

    /// EmbeddingGemma 2 has the modules `ple` and `ple_block` around tensors that E2B has directly in the decoder and
    /// its layers.
    private static func withoutInputModules(_ name: String) -> String {
        let text = "model.language_model."
        guard name.hasPrefix(text) else { return name }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.filter { $0 != "ple" && $0 != "ple_block" }.joined(separator: ".")
    }

    private static func withPublishedPrefix(_ name: String) -> String {
        let moved = [
            ("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."),
            ("language_model.", "model.language_model."), ("vision_tower.", "model.vision_tower."),
            ("audio_tower.", "model.audio_tower."), ("embed_vision.", "model.embed_vision."),
            ("vision_embedder.", "model.vision_embedder."),
            ("embed_audio.", "model.embed_audio."), ("model.layers.", "model.language_model.layers."),
            ("model.norm.", "model.language_model.norm."), ("model.embed_tokens", "model.language_model.embed_tokens"),
            ("model.per_layer_", "model.language_model.per_layer_"),
        ]
        for (prefix, replacement) in moved where name.hasPrefix(prefix) {
            return replacement + name.dropFirst(prefix.count)
        }
        return name
    }
}

extension Checkpoint {
    /// The weights of a directory under their published names.
    ///
    /// - Throws: `CheckpointError` if the files are damaged or incomplete, or if a tensor does not match `table`.
    package init(_ directory: String, checkedAgainst table: TensorTable) throws(CheckpointError) {
        try self.init(directory, quantized: table.quantization?.tensors, rename: TensorNames.published)
        try table.check(self)
    }

    /// The weights of GGUF files under their published names.
    ///
    /// - Throws: `CheckpointError`, with the names in the files, if a tensor does not match `table`.
    package init(
        _ text: GGUFShards, projector: GGUFShards?, checkedAgainst table: TensorTable
    ) throws(CheckpointError) {
        let isUnified = projector?.isUnified ?? false
        try self.init([text] + (projector.map { [$0] } ?? [])) { name in
            name == GGUFNames.rotaryFactors
                ? nil : GGUFNames.published(name, isUnified: isUnified) ?? (name, .published)
        }
        try table.check(self, as: .gguf)
    }
}
