import Foundation
import Gemma4
import JSONText
import Tokenization
import Weights

/// The files of a model, opened but not yet read: a directory as published on Hugging Face, or a GGUF file with the one that
/// holds its towers.
///
/// Each part is read when it is asked for, so that a tool which needs the tokenizer alone needs no weights.
public enum ModelSource: Sendable {
    case directory(URL)
    /// The text model, and the towers, `mmproj`; without them the model takes text alone.
    case gguf(GGUFShards, projector: GGUFShards?)

    /// - Parameters:
    ///   - url: a directory, as published or with the GGUF files of one model; or a `.gguf` file, the whole model or any
    ///     one of its shards.
    ///   - projector: the GGUF file of the towers; nil takes the one beside the model whose name holds "mmproj" and that is of
    ///     this model. Of several that is `mmproj-<model>`, as `gemma4 quantize` names it, or else the one nearest to the
    ///     published bf16 by its name: bf16, f16, f32, q8_0.
    ///   - takesTextAlone: whether the model takes text alone, whatever is beside it.
    ///   - notice: told which files of towers are passed over, and why.
    /// - Throws: `CheckpointError` if a GGUF file cannot be read or is no model of this family, or a directory holds something
    ///   else than one model.
    public init(
        contentsOf url: URL, projector: URL? = nil, takesTextAlone: Bool = false, notice: (String) -> Void = { _ in }
    ) throws(CheckpointError) {
        guard url.pathExtension.lowercased() == "gguf" else {
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
        let text = try GGUFShards(url.path)
        try ModelConfiguration.checkArchitecture(text)
        if let projector {
            self = .gguf(text, projector: try GGUFShards(projector.path))
        } else {
            self = .gguf(text, projector: takesTextAlone ? nil : Self.projector(of: text, notice))
        }
    }

    /// The only model of a directory that holds GGUF files and no published checkpoint; nil if it holds none of them.
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
        if has("config.json") { return nil }
        let files = ggufFiles(directory).sorted()
        // Of a split model the first shard stands for all.
        let models = files.filter { name in
            !isProjector(name) && (!name.contains("-of-") || name.contains("-00001-of-"))
        }
        if models.count > 1 {
            throw refusal(
                "one model", "\(models.count): \(models.joined(separator: ", "))", "Give the path of one of them.")
        }
        if models.isEmpty, !files.isEmpty {
            throw refusal(
                "a model", "towers alone: \(files.joined(separator: ", "))", "Its text model belongs beside them.")
        }
        return models.first.map { directory.appending(path: $0) }
    }

    private static func ggufFiles(_ directory: URL) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.lowercased().hasSuffix(".gguf") }
    }

    private static func isProjector(_ name: String) -> Bool { name.lowercased().contains("mmproj") }

    /// The file of towers beside a model; nil if there is none of this model, or none that stands out.
    private static func projector(of text: GGUFShards, _ notice: (String) -> Void) -> GGUFShards? {
        let model = URL(filePath: text.path)
        let folder = model.deletingLastPathComponent()
        var fitting: [String: GGUFShards] = [:]
        var reasons: [CheckpointError] = []
        for name in ggufFiles(folder).sorted() where isProjector(name) && name != model.lastPathComponent {
            do throws(CheckpointError) {
                let towers = try GGUFShards(folder.appending(path: name).path)
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

    /// The name of the file of towers that stands out.
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
    public func tokenizer() throws -> Tokenizer {
        switch self {
        case .directory: try Tokenizer(contentsOf: path("tokenizer.json"))
        case .gguf(let text, _): try Tokenizer(text.tokenizerMetadata())
        }
    }

    /// - Throws: `CheckpointError`, and `TokenizerError` for GGUF.
    public func configuration() throws -> ModelConfiguration {
        switch self {
        case .directory: return try ModelConfiguration(contentsOf: path("config.json"))
        case .gguf(let text, let projector):
            let tokens = try text.tokenizerMetadata().specialTokens()
            return try ModelConfiguration(text, projector: projector) { tokens[$0] }
        }
    }

    /// The weights.
    ///
    /// - Throws: `CheckpointError` if they are not as `table` says.
    public func checkpoint(_ table: TensorTable) throws(CheckpointError) -> Checkpoint {
        switch self {
        case .directory(let url): try Checkpoint(url.path, checkedAgainst: table)
        case .gguf(let text, let projector): try Checkpoint(text, projector: projector, checkedAgainst: table)
        }
    }

    /// The source of the chat template; nil if there is none.
    public var chatTemplate: String? {
        switch self {
        case .directory: try? String(contentsOfFile: path("chat_template.jinja"), encoding: .utf8)
        case .gguf(let text, _): text.metadata["tokenizer.chat_template"]?.string
        }
    }

    public var hasWeights: Bool {
        switch self {
        case .directory: ["model.safetensors", "model.safetensors.index.json"].contains(where: isPresent)
        case .gguf: true
        }
    }

    public var hasTokenizer: Bool {
        switch self {
        case .directory: isPresent("tokenizer.json")
        case .gguf: true
        }
    }

    private func isPresent(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

    /// Where the chat template is looked for.
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

    /// GGUF files say nothing of it: the reference's defaults hold, which are the published values.
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
