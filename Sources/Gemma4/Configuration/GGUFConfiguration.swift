import JSONText
import Weights

/// Translates a GGUF file's metadata and tensor shapes to the keys of `config.json`, so that the same code reads and
/// checks both.
///
/// What GGUF files do not store has the value of all published variants: the text model's activation function; for
/// the vision tower, pooling by 3 × 3 and θ = 100; for the audio tower, chunks of 12 frames, `attention_context_left`
/// 13, scores capped at 50, a residual weight of ½ for feed-forward blocks, and clipping at 10¹⁰.
///
/// Source: llama.cpp, `conversion/gemma.py`, `tools/mtmd/clip.cpp`.
struct GGUFConfiguration {
    /// The members of the object.
    private(set) var members: [JSONValue.Member] = []
    /// Maps the full path of a key of `config.json` to the GGUF key of its value.
    private(set) var origins: [String: String] = [:]

    let file: GGUFShards
    /// Including the dot: `gemma4.`, `clip.vision.`.
    let prefix: String
    /// Path of the object in `config.json`, including the trailing dot.
    let path: String

    init(_ file: GGUFShards, prefix: String, path: String) {
        (self.file, self.prefix, self.path) = (file, prefix, path)
    }

    // MARK: Reading

    func value(_ key: String) throws(CheckpointError) -> GGUFValue {
        guard let value = file.metadata[prefix + key] else {
            throw CheckpointError(
                .missingKey, file: file.path, place: prefix + key, expected: "a value", found: "none",
                remedy: Self.remedy)
        }
        return value
    }

    func integer(_ key: String) throws(CheckpointError) -> Int {
        let value = try value(key)
        guard let integer = value.integer else { throw invalid(prefix + key, expected: "an integer", found: value) }
        return integer
    }

    /// A value for every layer, or an array of one per layer.
    func integers(_ key: String, layers: Int) throws(CheckpointError) -> [Int] {
        let value = try value(key)
        if let integer = value.integer { return Array(repeating: integer, count: layers) }
        guard let integers = value.array?.integers, integers.count == layers else {
            throw invalid(prefix + key, expected: "an integer, or one for each of \(layers) layers", found: value)
        }
        return integers
    }

    func shape(_ tensor: String, rank: Int) throws(CheckpointError) -> [Int] {
        guard let entry = file.tensor(tensor) else {
            throw CheckpointError(
                .missingKey, file: file.path, place: tensor, expected: "a tensor", found: "none",
                remedy: Self.remedy)
        }
        guard entry.shape.count == rank else {
            throw CheckpointError(
                .invalidTensor, file: file.path, place: tensor, expected: "\(rank) dimensions",
                found: "\(entry.shape)", remedy: Self.remedy)
        }
        return entry.shape
    }

    func invalid(_ key: String, expected: String, found: GGUFValue) -> CheckpointError {
        invalid(key, expected: expected, found: found.summary)
    }

    func invalid(_ key: String, expected: String, found: String) -> CheckpointError {
        CheckpointError(
            .invalidValue, file: file.path, place: key, expected: expected, found: found, remedy: Self.remedy)
    }

    static let remedy = "Convert the model again with a current converter, or get another file."

    // MARK: Adding

    mutating func add(_ key: String, _ value: JSONValue, from origin: String? = nil) {
        members.append(JSONValue.Member(key, value))
        if let origin { origins[path + key] = origin }
    }

    /// Adds an object, with the GGUF keys of its values.
    mutating func add(_ key: String, _ value: JSONValue, origins stored: [String: String]) {
        members.append(JSONValue.Member(key, value))
        for (inner, origin) in stored { origins["\(path)\(key).\(inner)"] = prefix + origin }
    }

    mutating func add(_ key: String, integer stored: String) throws(CheckpointError) {
        add(key, .integer(try integer(stored)), from: prefix + stored)
    }

    mutating func add(_ key: String, number stored: String) throws(CheckpointError) {
        let value = try value(stored)
        guard let number = value.number else { throw invalid(prefix + stored, expected: "a number", found: value) }
        add(key, .number(number), from: prefix + stored)
    }

    mutating func add(_ key: String, integer stored: String, default absent: Int) throws(CheckpointError) {
        guard file.metadata[prefix + stored] != nil else { return add(key, .integer(absent)) }
        try add(key, integer: stored)
    }

    mutating func add(_ key: String, number stored: String, default absent: Double) throws(CheckpointError) {
        guard file.metadata[prefix + stored] != nil else { return add(key, .number(absent)) }
        try add(key, number: stored)
    }
}

extension ModelConfiguration {
    /// - Parameters:
    ///   - text: the text model.
    ///   - projector: the towers; nil for a text-only model.
    ///   - tokenId: the id of a special token by its text. Files name few of the ids, and some name the wrong one.
    /// - Throws: `CheckpointError` with the key that is missing or unsupported.
    package init(
        _ text: GGUFShards, projector: GGUFShards?, tokenId: (String) -> Int?
    ) throws(CheckpointError) {
        try Self.checkArchitecture(text.path, text.metadata)
        var root = GGUFConfiguration(text, prefix: "", path: "")
        let isUnified = projector?.isUnified ?? false
        root.add("model_type", isUnified ? "gemma4_unified" : "gemma4", from: "general.architecture")
        root.add("tie_word_embeddings", .boolean(text.tensor("output.weight") == nil))
        var origins = root.origins
        func include(_ key: String, _ part: GGUFConfiguration) {
            root.add(key, .object(part.members))
            origins.merge(part.origins) { $1 }
        }
        include("text_config", try .text(text, tokenId: tokenId))
        if let projector {
            try Self.checkProjector(projector, of: text)
            if try projector.has("vision") {
                include("vision_config", try isUnified ? .unifiedVision(projector) : .vision(projector))
            }
            if try projector.has("audio") {
                include("audio_config", try isUnified ? .unifiedAudio(projector) : .audio(projector))
            }
        }
        let ends = ["<eos>", "<turn|>"].compactMap(tokenId)
        root.add("eos_token_id", .array((ends + text.endTokenIds(besides: ends)).map(JSONValue.integer)))
        let markers = [
            ("image_token_id", "<|image|>"), ("boi_token_id", "<|image>"), ("eoi_token_id", "<image|>"),
            ("video_token_id", "<|video|>"), ("audio_token_id", "<|audio|>"), ("boa_token_id", "<|audio>"),
            ("eoa_token_id", "<audio|>"),
        ]
        for (key, token) in markers {
            root.add(key, tokenId(token).map(JSONValue.integer) ?? .null)
            origins[key] = "tokenizer.ggml.tokens, \(token)"
        }
        try self.init(ConfigurationObject(file: text.path, path: "", members: root.members, origins: origins))
    }

    /// - Throws: `CheckpointError` naming the content of the file, if it is not a text model of the family.
    package static func checkArchitecture(
        _ path: String, _ metadata: [String: GGUFValue]
    ) throws(CheckpointError) {
        func refusal(_ key: String, _ expected: String, _ found: String, _ remedy: String) -> CheckpointError {
            CheckpointError(
                .unsupportedModel, file: path, place: key, expected: expected, found: found, remedy: remedy)
        }
        switch metadata["general.type"]?.string {
        case "adapter":
            throw refusal(
                "general.type", "\"model\"", "\"adapter\" (a LoRA adapter, which holds changes to a model)",
                "Merge it into its base model, with llama.cpp's llama-export-lora say, and give the result.")
        case "imatrix":
            throw refusal(
                "general.type", "\"model\"", "\"imatrix\" (how much each weight matters, for quantizing)",
                "Give one of the model files that were published beside it.")
        default: break
        }
        let architecture = metadata["general.architecture"]?.string
        guard architecture != "gemma4" else { return }
        guard architecture != "clip" else {
            throw refusal(
                "general.architecture", "\"gemma4\"", "\"clip\" (the towers of a model)",
                "Give its text model; the towers are found beside that, or named as its projector (--mmproj).")
        }
        let template = metadata["tokenizer.chat_template"]?.string
        throw refusal(
            "general.architecture", "\"gemma4\"",
            architecture.map { "\"\($0)\" (\(ForeignCheckpoint.kind(of: $0, template: template)))" } ?? "none",
            ForeignCheckpoint.replacement(for: architecture ?? ""))
    }

    /// - Throws: `CheckpointError` naming the content of the file, if it does not hold a model's towers.
    package static func checkIsProjector(
        _ path: String, _ metadata: [String: GGUFValue]
    ) throws(CheckpointError) {
        let architecture = metadata["general.architecture"]?.string
        guard architecture != "clip" else { return }
        throw CheckpointError(
            .unsupportedModel, file: path, place: "general.architecture",
            expected: "\"clip\", the towers of a model", found: architecture.map { "\"\($0)\"" } ?? "none",
            remedy: "Give the mmproj file that was published beside the model.")
    }

    /// - Throws: `CheckpointError` if the file does not hold towers, or holds those of another model.
    package static func checkProjector(_ projector: GGUFShards, of text: GGUFShards) throws(CheckpointError) {
        try checkIsProjector(projector.path, projector.metadata)
        let width = text.metadata["gemma4.embedding_length"]?.integer
        let isUnified = projector.isUnified
        for (tower, type, unified) in [("vision", "gemma4v", "gemma4uv"), ("audio", "gemma4a", "gemma4ua")]
        where try projector.has(tower) {
            let (key, found) = projector.projectorType(tower)
            guard found == (isUnified ? unified : type) else {
                throw CheckpointError(
                    .unsupportedModel, file: projector.path, place: key,
                    expected: isUnified ? "\"\(unified)\"" : "\"\(type)\" or \"\(unified)\"",
                    found: found.map { "\"\($0)\"" } ?? "none",
                    remedy: "Give the mmproj file that was published beside the model.")
            }
            let projected = try GGUFConfiguration(projector, prefix: "clip.\(tower).", path: "")
                .integer("projection_dim")
            guard projected == width else {
                throw CheckpointError(
                    .unsupportedModel, file: projector.path, place: "clip.\(tower).projection_dim",
                    expected: "\(width ?? 0), the width of \(text.path)", found: "\(projected)",
                    remedy: "The towers are of another model: give the mmproj file that was published beside this one.")
            }
        }
    }
}

extension GGUFShards {
    /// Whether the file holds the projections of the 12B, which has no towers.
    var isUnified: Bool {
        projectorType("vision").found == "gemma4uv" || projectorType("audio").found == "gemma4ua"
    }

    /// The type of a tower, and its key: files with a single tower use one key for either.
    fileprivate func projectorType(_ tower: String) -> (key: String, found: String?) {
        let key =
            metadata["clip.projector_type"] == nil ? "clip.\(tower).projector_type" : "clip.projector_type"
        return (key, metadata[key]?.string)
    }

    /// The end-of-answer ids that the metadata names, as far as the vocabulary contains them: files of the same model
    /// differ in which of `<eos>` and `<turn|>` they call the end of text.
    func endTokenIds(besides known: [Int]) -> [Int] {
        let count = metadata["tokenizer.ggml.tokens"]?.array?.count ?? 0
        let named = ["eos", "eot"].compactMap { metadata["tokenizer.ggml.\($0)_token_id"]?.integer }
        return Set(named).filter { 0..<count ~= $0 && !known.contains($0) }.sorted()
    }

    /// Whether the file has a tower of that name.
    fileprivate func has(_ tower: String) throws(CheckpointError) -> Bool {
        switch metadata["clip.has_\(tower)_encoder"] {
        case .bool(let flag): return flag
        case nil: return false
        case let value?:
            throw CheckpointError(
                .invalidValue, file: path, place: "clip.has_\(tower)_encoder", expected: "true or false",
                found: value.summary, remedy: GGUFConfiguration.remedy)
        }
    }
}
