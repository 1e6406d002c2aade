import Foundation

/// A language by its code, with the English name that prompts use.
public struct Language: Sendable, Hashable {
    /// As given, say `de` or `pt-BR`.
    public let code: String
    /// Say `German` or `Portuguese (Brazil)`.
    public let name: String

    /// - Parameter code: BCP 47, whose language is one of ISO 639; nil for anything else.
    public init?(code: String) {
        guard Locale.Language(identifier: code).languageCode?.isISOLanguage == true,
            let name = Locale(identifier: "en_US").localizedString(forIdentifier: code), !name.isEmpty
        else { return nil }
        (self.code, self.name) = (code, name)
    }

    /// What sound tracks of films may call it: ISO 639-1, 639-2/T and 639-2/B.
    package var trackCodes: Set<String> {
        guard let base = Locale.Language(identifier: code).languageCode else { return [code] }
        let three = base.identifier(.alpha3) ?? base.identifier
        return [code, base.identifier, base.identifier(.alpha2) ?? three, three, Self.bibliographic[three] ?? three]
    }

    /// Where ISO 639-2 has a second code.
    private static let bibliographic = [
        "sqi": "alb", "hye": "arm", "eus": "baq", "mya": "bur", "zho": "chi", "ces": "cze", "nld": "dut", "fra": "fre",
        "kat": "geo", "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "mri": "mao", "msa": "may", "fas": "per",
        "ron": "rum", "slk": "slo", "bod": "tib", "cym": "wel",
    ]
}
