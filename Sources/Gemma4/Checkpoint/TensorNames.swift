import Weights

/// The names under which tensors of Gemma 4 are found in the wild.
enum TensorNames {
    /// The published name of a tensor: `model.language_model.…`, `model.vision_tower.…`, `lm_head.weight`.
    ///
    /// mlx writes `language_model.model.…` and the towers without `model.`; text-only files write `model.layers.…`. What
    /// the 12B has in the place of towers, transformers calls by other names once it is loaded, and so do some files.
    static func published(_ name: String) -> String {
        let published = withoutInputModules(withPublishedPrefix(name))
        let vision = "model.embed_vision."
        guard published.hasPrefix(vision) else { return published }
        let part = published.dropFirst(vision.count)
        if part.hasPrefix("multimodal_embedder.") { return vision + part.dropFirst("multimodal_embedder.".count) }
        let moved = ["patch_ln1.", "patch_dense.", "patch_ln2.", "pos_embedding", "pos_norm."]
        return moved.contains(where: part.hasPrefix) ? "model.vision_embedder." + part : published
    }

    /// EmbeddingGemma 2 has modules of their own, `ple` and `ple_block`, around what E2B has in the decoder and its layers.
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
    /// - Throws: `CheckpointError` if the files are damaged or incomplete, or if a tensor is not as `table` says.
    package init(_ directory: String, checkedAgainst table: TensorTable) throws(CheckpointError) {
        try self.init(directory, quantized: table.quantization?.tensors, rename: TensorNames.published)
        try table.check(self)
    }

    /// The weights of GGUF files under their published names.
    ///
    /// - Throws: `CheckpointError` if a tensor is not as `table` says, in the names of the files.
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
