import heatproof.report.audit as ra

if not hasattr(ra, "html"):
    ra.html = lambda document, **k: repr(document)
