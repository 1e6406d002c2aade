extension String {
    /// As a terminal may show it: without control characters, which it would obey. `\x1B` is shown for each of their bytes,
    /// line breaks and tabs included.
    package var displayed: String { displayed { _ in false } }

    /// The same for a message of several lines.
    package var displayedLines: String { displayed { $0 == "\n" || $0 == "\t" } }

    private func displayed(except isKept: (Unicode.Scalar) -> Bool) -> String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.generalCategory == .control && !isKept(scalar)
        }
        guard unicodeScalars.contains(where: isControl) else { return self }
        return unicodeScalars.reduce(into: "") { text, scalar in
            guard isControl(scalar) else { return text.unicodeScalars.append(scalar) }
            for byte in UTF8.encode(scalar)! {
                text += (byte < 0x10 ? "\\x0" : "\\x") + String(byte, radix: 16, uppercase: true)
            }
        }
    }
}
