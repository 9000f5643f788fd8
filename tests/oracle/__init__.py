"""A second implementation of all figures, by pandas, scipy and statsmodels."""
