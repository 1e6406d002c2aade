import Foundation
import Gemma4
import JSONText
import Tokenization
import Weights

/// The files of a model, opened but not yet read: a directory as published on Hugging Face, or a GGUF file and the
/// one that holds its towers.
///
/// Each part is read on demand, so that a tool that needs only the tokenizer does not need the weights.
package enum ModelSource: Sendable {
    case directory(URL)
    /// The text model, and the towers, `mmproj`; without them the model accepts only text.
    case gguf(GGUFShards, projector: GGUFShards?)

    /// - Parameters:
    ///   - url: a directory, as published or with the GGUF files of one model; or a GGUF file, recognized by its
    ///     magic or extension: the whole model or any one of its shards.
    ///   - projector: the GGUF file of the towers; nil selects the file beside the model whose name contains
    ///     "mmproj" and that belongs to this model. If there are several, it selects `mmproj-<model>`, as `gemma4
    ///     quantize` names it, else the type closest to the published bf16 by its name: bf16, f16, f32, q8_0.
    ///   - takesTextAlone: whether the model accepts only text, whatever files are beside it.
    ///   - notice: called with the files of towers that are ignored, and why.
    /// - Throws: `CheckpointError` if a GGUF file cannot be read or is not a model of this family, or if a
    ///   directory does not hold exactly one model.
    package init(
        contentsOf url: URL, projector: URL? = nil, takesTextAlone: Bool = false, notice: (String) -> Void = { _ in }
    ) throws(CheckpointError) {
        guard Self.isGGUF(url) else {
            if let model = try Self.onlyModel(in: url) {
                self = try ModelSource(
                    contentsOf: model, projector: projector, takesTextAlone: takesTextAlone, notice: notice)
                return
            }
            if let projector {
                throw CheckpointError(
                    .invalidValue, file: projector.path, expected: "a GGUF file as its text model",
                    found: "\(url.path), which is none", remedy: "A directory brings its own towers.")
            }
            self = .directory(url)
            return
        }
        let text = try GGUFShards(url.path, check: ModelConfiguration.checkArchitecture)
        if let projector {
            self = .gguf(
                text, projector: try GGUFShards(projector.path, check: ModelConfiguration.checkIsProjector))
        } else {
            self = .gguf(text, projector: takesTextAlone ? nil : Self.projector(of: text, notice))
        }
    }

    /// Whether a path is treated as a GGUF file: one with its magic, or one with its extension, which may be damaged.
    package static func isGGUF(_ url: URL) -> Bool {
        hasEnding(url.lastPathComponent) && !isFolder(url) || GGUFFile.begins(url.path)
    }

    private static func hasEnding(_ name: String) -> Bool { name.lowercased().hasSuffix(".gguf") }

    private static func isFolder(_ url: URL) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) && isDirectory.boolValue
    }

    /// The only model of a directory that holds GGUF files and no published checkpoint; nil if it holds no GGUF
    /// files.
    private static func onlyModel(in directory: URL) throws(CheckpointError) -> URL? {
        func has(_ name: String) -> Bool {
            FileManager.default.fileExists(atPath: directory.appending(path: name).path)
        }
        func refusal(_ expected: String, _ found: String, _ remedy: String) -> CheckpointError {
            CheckpointError(.fileNotFound, file: directory.path, expected: expected, found: found, remedy: remedy)
        }
        let isWhole = has("model.safetensors") || has("model.safetensors.index.json")
        if !isWhole, has("adapter_config.json") || has("adapter_model.safetensors") {
            let adapter = try? JSONValue(contentsOf: directory.appending(path: "adapter_config.json").path)
            let base = adapter?["base_model_name_or_path"]?.string.map { " of \($0)" } ?? ""
            throw refusal(
                "a whole model", "a LoRA adapter\(base)",
                "Merge it into its base model, with peft's merge_and_unload say, and give the result.")
        }
        // Beside GGUF files, a config.json describes the model that they were converted from.
        if isWhole { return nil }
        let files = ggufFiles(directory).sorted()
        let models = onePerModel(files.filter { !isProjector($0) && !isOfAnotherKind($0) })
        if models.isEmpty, has("config.json") { return nil }
        if models.count > 1 {
            throw refusal(
                "one model", "\(models.count): \(models.joined(separator: ", "))", "Give the path of one of them.")
        }
        if models.isEmpty, !files.isEmpty {
            let names = files.joined(separator: ", ")
            throw files.allSatisfy(isProjector)
                ? refusal("a model", "towers alone: \(names)", "Its text model belongs beside them.")
                : refusal("a model", "\(names), none of which is one by its name", "Give the path of a model.")
        }
        return models.first.map { directory.appending(path: $0) }
    }

    /// The names of GGUF files; for a split model, the first existing shard.
    private static func onePerModel(_ files: [String]) -> [String] {
        var stems = Set<Substring>()
        return files.filter { name in
            guard let shard = name.firstMatch(of: /-\d{5}-of-\d{5}\.gguf$/.ignoresCase()) else { return true }
            return stems.insert(name[..<shard.range.lowerBound]).inserted
        }
    }

    private static func ggufFiles(_ directory: URL) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { hasEnding($0) || GGUFFile.begins(directory.appending(path: $0).path) }
    }

    private static func isProjector(_ name: String) -> Bool { name.lowercased().contains("mmproj") }

    /// Whether a file is a draft model or an importance matrix, which are published beside models.
    private static func isOfAnotherKind(_ name: String) -> Bool {
        ["mtp-", "imatrix"].contains(where: name.lowercased().hasPrefix)
    }

    /// The file of towers beside a model; nil if none belongs to this model, or if the choice is ambiguous.
    private static func projector(of text: GGUFShards, _ notice: (String) -> Void) -> GGUFShards? {
        let model = URL(filePath: text.path)
        let folder = model.deletingLastPathComponent()
        var fitting: [String: GGUFShards] = [:]
        var reasons: [CheckpointError] = []
        for name in ggufFiles(folder).sorted() where isProjector(name) && name != model.lastPathComponent {
            do throws(CheckpointError) {
                let towers = try GGUFShards(
                    folder.appending(path: name).path, check: ModelConfiguration.checkIsProjector)
                try ModelConfiguration.checkProjector(towers, of: text)
                fitting[name] = towers
            } catch {
                reasons.append(error)
            }
        }
        let chosen = choice(among: fitting.keys.sorted(), for: model).flatMap { fitting[$0] }
        guard chosen == nil else { return chosen }
        for reason in reasons { notice("\(text.path): text alone, since its towers are not these: \(reason)") }
        if !fitting.isEmpty {
            let names = fitting.keys.sorted().joined(separator: ", ")
            notice("\(text.path): text alone, since it is not clear which of \(names) holds its towers")
        }
        return nil
    }

    /// The name of the preferred file of towers; nil if ambiguous.
    private static func choice(among names: [String], for model: URL) -> String? {
        let sameName = names.filter { $0 == "mmproj-\(model.lastPathComponent)" }
        let byType = ["bf16", "f16", "f32", "q8_0"].map { type in
            names.filter {
                $0.lowercased().split { !$0.isLetter && !$0.isNumber && $0 != "_" }.contains(Substring(type))
            }
        }
        return ([sameName, names] + byType).first { $0.count == 1 }?[0]
    }

    // MARK: Parts

    /// - Throws: `CheckpointError`, `TokenizerError`.
    package func tokenizer() throws -> Tokenizer {
        switch self {
        case .directory: try Tokenizer(contentsOf: path("tokenizer.json"))
        case .gguf(let text, _): try Tokenizer(text.tokenizerMetadata())
        }
    }

    /// - Throws: `CheckpointError`, and `TokenizerError` for GGUF.
    package func configuration() throws -> ModelConfiguration {
        switch self {
        case .directory: return try ModelConfiguration(contentsOf: path("config.json"))
        case .gguf(let text, let projector):
            let tokens = try text.tokenizerMetadata().specialTokens()
            return try ModelConfiguration(text, projector: projector) { tokens[$0] }
        }
    }

    /// - Parameter isEncoder: whether an embedding model is expected, or one that generates text.
    /// - Throws: `CheckpointError` if the model is of the other kind.
    package func check(_ configuration: ModelConfiguration, isEncoder: Bool) throws(CheckpointError) {
        guard configuration.isEncoder != isEncoder else { return }
        let found = "EmbeddingGemma 2, which makes embeddings and writes nothing"
        throw CheckpointError(
            .unsupportedModel, file: isGGUF ? path("") : path("config.json"),
            expected: isEncoder ? "EmbeddingGemma 2, which makes embeddings" : "Gemma 4, which writes",
            found: isEncoder ? "Gemma 4, which writes" : found,
            remedy: isEncoder
                ? "Download google/embeddinggemma-2. What Gemma 4 itself sees of a picture, gemma4 embed --soft-tokens saves."
                : "Give it to gemma4 embed, in the library to Embedder.")
    }

    private var isGGUF: Bool {
        if case .gguf = self { true } else { false }
    }

    /// The prompts of EmbeddingGemma by task, as published for sentence-transformers.
    ///
    /// - Throws: `CheckpointError` if the file exists and cannot be read.
    package func embeddingPrompts() throws(CheckpointError) -> EmbeddingPrompts {
        try EmbeddingPrompts(contentsOf: path("config_sentence_transformers.json"))
    }

    /// The weights.
    ///
    /// - Throws: `CheckpointError` if they do not match `table`.
    package func checkpoint(_ table: TensorTable) throws(CheckpointError) -> Checkpoint {
        switch self {
        case .directory(let url): try Checkpoint(url.path, checkedAgainst: table)
        case .gguf(let text, let projector): try Checkpoint(text, projector: projector, checkedAgainst: table)
        }
    }

    /// The source of the chat template; nil if there is none.
    package var chatTemplate: String? {
        switch self {
        case .directory: try? String(contentsOfFile: path("chat_template.jinja"), encoding: .utf8)
        case .gguf(let text, _): text.metadata["tokenizer.chat_template"]?.string
        }
    }

    package var hasWeights: Bool {
        switch self {
        case .directory: ["model.safetensors", "model.safetensors.index.json"].contains(where: isPresent)
        case .gguf: true
        }
    }

    package var hasTokenizer: Bool {
        switch self {
        case .directory: isPresent("tokenizer.json")
        case .gguf: true
        }
    }

    private func isPresent(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

    /// The location of the chat template, for messages.
    var chatTemplatePlace: String {
        switch self {
        case .directory: path("chat_template.jinja")
        case .gguf(let text, _): "\(text.path), tokenizer.chat_template"
        }
    }

    /// - Throws: `CheckpointError`.
    func generationConfiguration(_ tokenizer: Tokenizer) throws(CheckpointError) -> GenerationConfiguration {
        switch self {
        case .directory: try GenerationConfiguration(contentsOf: path("generation_config.json"))
        case .gguf(let text, _): try GenerationConfiguration(text) { tokenizer.specialTokens[$0] }
        }
    }

    /// GGUF files do not contain it: the reference's defaults apply, which are the published values.
    ///
    /// - Throws: `CheckpointError`.
    func processorConfiguration() throws(CheckpointError) -> ProcessorConfiguration {
        switch self {
        case .directory: try ProcessorConfiguration(contentsOf: path("processor_config.json"))
        case .gguf: try ProcessorConfiguration(contentsOf: nil)
        }
    }

    /// A file of a directory.
    private func path(_ name: String) -> String {
        switch self {
        case .directory(let url): url.appending(path: name).path
        case .gguf(let text, _): text.path
        }
    }
}

extension GGUFShards {
    fileprivate func tokenizerMetadata() throws(CheckpointError) -> TokenizerMetadata {
        let prefix = "tokenizer.ggml."
        func array<Values>(_ key: String, _ values: (GGUFArray) -> Values?) throws(CheckpointError) -> Values {
            guard let value = metadata[prefix + key], let values = value.array.flatMap(values) else {
                throw CheckpointError(
                    metadata[prefix + key] == nil ? .missingKey : .invalidValue, file: path, place: prefix + key,
                    expected: "the vocabulary's \(key)", found: metadata[prefix + key]?.summary ?? "none",
                    remedy: "Convert the model again with a current converter, or get another file.")
            }
            return values
        }
        let model = metadata["\(prefix)model"]?.string
        guard model == "gemma4" else {
            throw CheckpointError(
                .unsupportedModel, file: path, place: "\(prefix)model", expected: "\"gemma4\"",
                found: model.map { "\"\($0)\"" } ?? "none",
                remedy: "Convert the model again with a current converter, or get another file.")
        }
        let named = metadata.filter { $0.key.hasPrefix(prefix) && $0.key.hasSuffix("_token_id") }
        return TokenizerMetadata(
            pieces: try array("tokens", \.strings), types: try array("token_type", \.integers),
            merges: try array("merges", \.strings), namedIds: Set(named.compactMap(\.value.integer)), file: path)
    }
}
