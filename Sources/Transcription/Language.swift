import Foundation

/// A language code with the English name that prompts use.
public struct Language: Sendable, Hashable {
    /// As given, for example `de` or `pt-BR`.
    public let code: String
    /// For example `German` or `Portuguese (Brazil)`.
    public let name: String

    /// - Parameter code: a BCP 47 tag with an ISO 639 language; nil for anything else.
    public init?(code: String) {
        guard Locale.Language(identifier: code).languageCode?.isISOLanguage == true,
            let name = Locale(identifier: "en_US").localizedString(forIdentifier: code), !name.isEmpty
        else { return nil }
        (self.code, self.name) = (code, name)
    }

    /// Codes of this language in the audio tracks of films: ISO 639-1, 639-2/T and 639-2/B.
    package var trackCodes: Set<String> {
        guard let base = Locale.Language(identifier: code).languageCode else { return [code] }
        let three = base.identifier(.alpha3) ?? base.identifier
        return [code, base.identifier, base.identifier(.alpha2) ?? three, three, Self.bibliographic[three] ?? three]
    }

    /// ISO 639-2/B codes that differ from 639-2/T.
    private static let bibliographic = [
        "sqi": "alb", "hye": "arm", "eus": "baq", "mya": "bur", "zho": "chi", "ces": "cze", "nld": "dut", "fra": "fre",
        "kat": "geo", "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "mri": "mao", "msa": "may", "fas": "per",
        "ron": "rum", "slk": "slo", "bod": "tib", "cym": "wel",
    ]
}
