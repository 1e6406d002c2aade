import Foundation
import Gemma4
import Gemma4Kit
import JSONText
import Tensors
import Tokenization

/// A model summary as text and as JSON.
struct InspectionReport {
    let model: ModelSummary
    let device: Device
    private let blasCore = BLASCore.current
    private let firstProductShare: Double
    private let tokenizerFingerprint: String?

    /// Measures the speed of the first products, which takes a few hundredths of a second.
    init(_ model: ModelSummary, _ device: Device) {
        (self.model, self.device) = (model, device)
        tokenizerFingerprint = model.tokenizer?.fingerprint
        firstProductShare = MachineLimits.firstProductShare(on: device)
    }

    // MARK: Text

    var text: String {
        let text = model.configuration.textConfig
        var rows: [(name: String, value: String)] = [
            ("variant", model.variant),
            ("takes", model.inputs.joined(separator: ", ")),
            ("layers", layers),
            ("context", "\(Self.grouped(text.maxPositionEmbeddings)) tokens"),
            ("KV cache", keyValues),
        ]
        if !model.configuration.isEncoder {
            for length in text.foretoldLengths {
                let sizes = Self.keyValueTypes.map {
                    "\($0.argument) \(Self.bytes(model.keyValueBytes(positions: length, $0)))"
                }
                rows.append(("  \(Self.grouped(length)) tokens", sizes.joined(separator: ", ")))
            }
        }
        rows += [
            ("vocabulary", vocabulary),
            ("tokenizer", tokenizer),
            text.embeddingDim.map { ("gives", "one vector of \($0) dimensions for each input: gemma4 embed") }
                ?? ("chat format", chatFormat),
            ("tasks", model.tasks.joined(separator: ", ")),
            ("parameters", parameters),
            ("weights", weights),
        ]
        let bytes = model.bytesByPart
        for (part, count) in model.parametersByPart {
            let size = bytes?[part].map { ", \(Self.bytes($0))" } ?? ""
            rows.append(("  \(Self.name(part))", Self.grouped(count) + size))
        }
        rows += [
            ("SIMD", device.kernels.name),
            ("first products", String(format: "%.0f %% of the speed of later ones", 100 * firstProductShare)),
            ("BLAS core", "\(blasCore.name): \(Self.explanation(blasCore.origin)); bench measures the machine with it"),
            ("threads", "\(device.threads.count): \(Self.explanation(.current))"),
        ]
        let width = 22
        return rows.filter { !$0.value.isEmpty }.map {
            $0.name.padding(toLength: width, withPad: " ", startingAt: 0) + $0.value + "\n"
        }.joined()
    }

    private var keyValues: String {
        if model.configuration.isEncoder { return "none: a text is read whole, in both directions" }
        return "\(Self.bytes(model.fullBytesPerToken)) per token, and \(Self.bytes(model.slidingBytesPerToken)) "
            + "for each of the last \(model.configuration.textConfig.slidingWindow), in \(model.keyValueType.argument)"
    }

    /// The types of --kv-cache whose size does not depend on the checkpoint.
    private static let keyValueTypes = KeyValueType.allCases.filter { $0 != .int8 }

    private var keyValueObject: JSONValue {
        .object(
            model.configuration.textConfig.foretoldLengths.map { length in
                .init(
                    "\(length)",
                    .object(
                        Self.keyValueTypes.map {
                            .init($0.argument, .integer(model.keyValueBytes(positions: length, $0)))
                        }))
            })
    }

    private var layers: String {
        let text = model.configuration.textConfig
        let sides = model.configuration.isEncoder ? " to either side" : ""
        let shared = text.numKvSharedLayers > 0 ? "; the last \(text.numKvSharedLayers) share keys and values" : ""
        return
            "\(text.numHiddenLayers): \(model.slidingLayers) sliding (\(text.slidingWindow) tokens\(sides)), \(model.fullLayers) full\(shared)"
    }

    private var vocabulary: String {
        let size = Self.grouped(model.configuration.textConfig.vocabSize)
        return model.tokenizer.map { "\(size); the tokenizer has \(Self.grouped($0.vocabularySize))" }
            ?? "\(size); no tokenizer"
    }

    private var tokenizer: String {
        guard let tokenizerFingerprint else { return "none" }
        let origin = tokenizerFingerprint == Tokenizer.publishedFingerprint ? "as published" : "not the published one"
        return "\(origin); SHA-256 of pieces and merges \(Self.short(tokenizerFingerprint))"
    }

    private var chatFormat: String {
        let template = model.chatTemplate ?? ChatTemplate(source: nil)
        let format =
            template.notice(isPresent: model.chatTemplate != nil)
            ?? template.generation.name
            + (template.appendsEmptyThought ? ", as of large models" : ", as of small models")
        return format + (model.chatTemplateHash.map { "; SHA-256 \(Self.short($0))" } ?? "")
    }

    /// Enough of a hash to distinguish files; JSON has all of it.
    private static func short(_ hash: String) -> String { hash.prefix(12) + "…" }

    private var parameters: String {
        let (text, active) = (model.table.textParameterCount, model.table.activeParameterCount)
        return
            "\(Self.grouped(model.table.publishedParameterCount)); \(model.configuration.isEncoder ? "text" : "decoder") \(Self.grouped(text))"
            + (active < text ? ", of which a token uses \(Self.grouped(active))" : "")
    }

    private var weights: String {
        guard let bytes = model.storedBytes else { return "absent" }
        let types = model.elementTypes.map { "\($0.tensors) \($0.name)" }.joined(separator: ", ")
        return "\(Self.bytes(bytes)) in tensors: \(types)"
    }

    // MARK: JSON

    var json: JSONValue {
        let text = model.configuration.textConfig
        let parts = model.parametersByPart.map { JSONValue.Member($0.part.rawValue, .integer($0.count)) }
        return [
            "variant": .string(model.variant),
            "inputs": .array(model.inputs.map(JSONValue.string)),
            "layers": [
                "count": .integer(text.numHiddenLayers), "sliding": .integer(model.slidingLayers),
                "full": .integer(model.fullLayers),
                "kv_shared": .integer(text.numKvSharedLayers), "sliding_window": .integer(text.slidingWindow),
            ],
            "context": .integer(text.maxPositionEmbeddings),
            "tasks": .array(model.tasks.map(JSONValue.string)),
            "embedding_dimensions": text.embeddingDim.map(JSONValue.integer) ?? .null,
            "kv_bytes_per_token": [
                "full": .integer(model.fullBytesPerToken), "sliding": .integer(model.slidingBytesPerToken),
                "type": .string(model.keyValueType.argument),
            ],
            "kv_bytes": model.configuration.isEncoder ? .null : keyValueObject,
            "vocabulary": .integer(text.vocabSize),
            "tokenizer_vocabulary": model.tokenizer.map { .integer($0.vocabularySize) } ?? .null,
            "tokenizer_sha256": tokenizerFingerprint.map(JSONValue.string) ?? .null,
            "tokenizer_published": tokenizerFingerprint.map { .boolean($0 == Tokenizer.publishedFingerprint) } ?? .null,
            "chat_template": model.chatTemplate.map(object) ?? .null,
            "parameters": [
                "published": .integer(model.table.publishedParameterCount),
                "decoder": .integer(model.table.textParameterCount),
                "active": .integer(model.table.activeParameterCount), "parts": .object(parts),
            ],
            "weights": weightsObject ?? .null,
            "simd": .string(device.kernels.name),
            "blas_core": [
                "name": .string(blasCore.name), "origin": .string(Self.explanation(blasCore.origin)),
            ],
            "first_product_share": .number(firstProductShare),
            "threads": .integer(device.threads.count),
            "thread_limit": .string(Self.explanation(.current)),
        ]
    }

    private var weightsObject: JSONValue? {
        guard let bytes = model.storedBytes, let byPart = model.bytesByPart else { return nil }
        let parts = model.parametersByPart.map { JSONValue.Member($0.part.rawValue, .integer(byPart[$0.part] ?? 0)) }
        let types = model.elementTypes.map { JSONValue.Member($0.name, .integer($0.tensors)) }
        return ["bytes": .integer(bytes), "parts": .object(parts), "tensors_by_type": .object(types)]
    }

    private func object(_ template: ChatTemplate) -> JSONValue {
        [
            "recognized": .boolean(template.isRecognized), "generation": .string("\(template.generation)"),
            "appends_empty_thought": .boolean(template.appendsEmptyThought),
            "sha256": model.chatTemplateHash.map(JSONValue.string) ?? .null,
        ]
    }

    // MARK: Words and numbers

    private static func explanation(_ origin: BLASCore.Origin) -> String {
        switch origin {
        case .detected: "chosen by OpenBLAS, and right for this CPU"
        case .mended(let previous): "chosen here, since OpenBLAS had taken \(previous), which is too old for this CPU"
        case .environment: "chosen by OPENBLAS_CORETYPE"
        case .unsuited(let wanted): "chosen by OpenBLAS, too old for this CPU; set OPENBLAS_CORETYPE=\(wanted)"
        }
    }

    static func explanation(_ limit: ProcessorLimit) -> String {
        switch limit.origin {
        case .machine: "all CPUs of the machine"
        case .affinity: "the affinity mask allows \(limit.count) of \(limit.online) CPUs"
        case .quota(let folder): "the quota of \(folder) is worth \(limit.count) of \(limit.online) CPUs"
        }
    }

    private static func name(_ part: TensorTable.Part) -> String {
        switch part {
        case .embedding: "embedding"
        case .perLayerTable: "per-layer table"
        case .perLayerProjection: "per-layer input"
        case .attention: "attention"
        case .feedForward: "feed-forward"
        case .experts: "experts"
        case .router: "router"
        case .norms: "norms"
        case .head: "head"
        case .vision: "image encoder"
        case .audio: "audio encoder"
        case .clipBounds: "clip bounds"
        case .leftover: "stored, not used"
        }
    }

    /// 5123178979 as "5 123 178 979".
    private static func grouped(_ number: Int) -> String {
        let digits = Array(String(number))
        return digits.indices.map { ($0 > 0 && (digits.count - $0) % 3 == 0 ? " " : "") + String(digits[$0]) }.joined()
    }

    /// In powers of 1024, as memory is counted.
    static func bytes(_ count: Int) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB"]
        var (value, unit) = (Double(count), 0)
        while value >= 1024, unit + 1 < units.count { (value, unit) = (value / 1024, unit + 1) }
        return unit == 0 ? "\(count) bytes" : String(format: "%.1f %@", value, units[unit])
    }
}
